#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every call that would change something gets EROFS, at each level of the tree.
. "$(dirname "$0")/../lib.sh"
need_root

mnt=$work/mnt
mount_imgfs "oci:$(demo_layout)" "$mnt"
image=$mnt/1.0/linux_amd64
assert_contains "$(findmnt -n -o OPTIONS "$mnt")" ro "mount options"
for option in nosuid nodev; do
	assert_contains "$(findmnt -n -o OPTIONS "$mnt")" "$option" "mount options"
done
assert_eq "$(findmnt -n -o FSTYPE "$mnt")" fuse.imgfs "type in the mount table"

python - "$mnt" "$image" "$image/rootfs" "$(echo "$image"/layers/01-*)" <<'END'
import errno, os, sys

def calls(directory, file):
    new = os.path.join(directory, "new")
    yield "create", lambda: os.open(new, os.O_CREAT | os.O_WRONLY, 0o644)
    yield "mkdir", lambda: os.mkdir(new)
    yield "symlink", lambda: os.symlink("x", new)
    yield "mknod", lambda: os.mknod(new)
    yield "link", lambda: os.link(file, new)
    yield "rename", lambda: os.rename(file, new)
    yield "unlink", lambda: os.unlink(file)
    yield "open for writing", lambda: os.open(file, os.O_WRONLY)
    yield "open for reading and writing", lambda: os.open(file, os.O_RDWR)
    yield "truncate", lambda: os.truncate(file, 0)
    yield "chmod", lambda: os.chmod(file, 0o777)
    yield "chown", lambda: os.chown(file, 1, 1)
    yield "utime", lambda: os.utime(file, (1, 1))
    yield "setxattr", lambda: os.setxattr(file, "user.x", b"y")
    yield "removexattr", lambda: os.removexattr(file, "user.imgfs.digest")

mnt, image, rootfs, layer = sys.argv[1:]
bad = 0
for directory, file in ((mnt + "/1.0", mnt + "/1.0/digest"), (image, image + "/manifest.json"),
                        (rootfs + "/etc", rootfs + "/etc/os-release"),
                        (layer, layer + "/layer.tar.gz")):
    for name, call in calls(directory, file):
        try:
            call()
        except OSError as e:
            if e.errno == errno.EROFS:
                continue
            print(f"{name} in {directory}: {e}")
        else:
            print(f"{name} in {directory} succeeded")
        bad += 1
sys.exit(bad > 0)
END
