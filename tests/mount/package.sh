#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian package: it builds, lintian has nothing to say, and installed in a fresh system it mounts by
# mount(8) and fstab(5), and leaves nothing when it is purged.
#
# That system is an image that imgfs shows, under an overlay that can be written to.
#
#   PACKAGE  a package that is there already
. "$(dirname "$0")/../lib.sh"
need_root
need dpkg-buildpackage dh lintian debootstrap apt-get unshare

version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$repository/meson.build")
assert_eq "$(dpkg-parsechangelog -l "$repository/debian/changelog" -S Version)" "$version" "version of the package"

# ---- the package

# tracked: the files that a clone would have, and those that were just written.
tracked() {
	git -c safe.directory="$repository" ls-files --cached --others --exclude-standard 2>/dev/null ||
		find . -type f -not -path './build*' -not -path './.git/*' -printf '%P\n'
}

build_package() {
	mkdir "$work/imgfs"
	(cd "$repository" && tracked | while read -r file; do [[ ! -e $file ]] || echo "$file"; done | tar -cf - -T -) |
		tar -C "$work/imgfs" -xf -
	# The unit tests are run elsewhere.
	(cd "$work/imgfs" && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b) >"$work/build.log" 2>&1 ||
		fail "dpkg-buildpackage: $(tail -n 30 "$work/build.log")"
	say "built after $SECONDS s"
	lintian --allow-root --fail-on error,warning "$work"/imgfs_*.changes >"$work/lintian.log" 2>&1 ||
		fail "lintian: $(<"$work/lintian.log")"
	assert_eq "$(grep -v '^N:' "$work/lintian.log")" "" "lintian"
	say "looked at after $SECONDS s"
}

if [[ -z ${PACKAGE:-} ]]; then
	build_package
	PACKAGE=$(echo "$work"/imgfs_"$version"_*.deb)
fi
dpkg-deb -x "$PACKAGE" "$work/unpacked"
IMGFS=$work/unpacked/usr/bin/imgfs

# ---- a system for it

mkdir "$work/image" "$work/tmpfs" "$work/system"
mount_imgfs "oci:$(debian_layout):a" "$work/image" rootfs,platform=linux/amd64
mount -t tmpfs tmpfs "$work/tmpfs"
at_exit umount -l "$work/tmpfs"
mkdir "$work/tmpfs/upper" "$work/tmpfs/work"
mount -t overlay -o "lowerdir=$work/image,upperdir=$work/tmpfs/upper,workdir=$work/tmpfs/work" overlay "$work/system"
at_exit umount -l "$work/system"

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt's variable
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" | head -n 1)
echo "deb ${mirror:-http://deb.debian.org/debian} $suite main" >"$work/system/etc/apt/sources.list"
cp -L /etc/resolv.conf "$work/system/etc/resolv.conf"
cp "$PACKAGE" "$work/system/imgfs.deb"
cp "$repository/debian/tests/smoke" "$work/system/smoke"

# inside COMMAND...: in that system, with /proc and /dev/fuse, and mounts of its own.
# shellcheck disable=SC2016 # the inner shell's variables
inside() {
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		unshare --mount --pid --fork --kill-child sh -c '
			mount -t proc proc "$0/proc"
			mount -t tmpfs tmpfs "$0/dev"
			for device in null zero urandom fuse; do
				: >"$0/dev/$device"
				mount --bind "/dev/$device" "$0/dev/$device"
			done
			exec chroot "$0" "$@"' "$work/system" "$@"
}
installing=(apt-get -qq -y --no-install-recommends -o APT::Sandbox::User=root -o Acquire::Languages=none
	-o Dpkg::Options::=--force-unsafe-io)
inside "${installing[@]}" update >"$work/apt.log" 2>&1 || fail "apt-get update: $(tail "$work/apt.log")"
inside "${installing[@]}" install /imgfs.deb busybox-static python3 zstd >"$work/apt.log" 2>&1 ||
	fail "apt-get install: $(tail "$work/apt.log")"
say "installed after $SECONDS s"

# ---- what it is for

assert_eq "$(inside imgfs --version)" "imgfs $version" "its version"
inside /smoke >"$work/smoke.log" 2>&1 || fail "debian/tests/smoke: $(<"$work/smoke.log")"
inside dpkg --verify imgfs || fail "files of the package have changed"
inside dpkg --purge imgfs >"$work/apt.log" 2>&1 || fail "purge: $(<"$work/apt.log")"
left=$(cd "$work/system" && find etc usr/bin usr/sbin usr/lib usr/share var/cache var/lib/systemd -name '*imgfs*')
assert_eq "$left" "" "what is left after a purge"
