#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What meson installs below /usr/local: each file in its place, no more, and no link that leads nowhere.
# (tests/mount/package.sh does it below /usr.)
. "$(dirname "$0")/../lib.sh"
need meson ninja scdoc
build=$(cd "$(dirname "$(realpath "$IMGFS")")/.." && pwd)
[[ -e $build/build.ninja ]] || skip "$IMGFS does not lie where it was built"
prefix=$(meson introspect --buildoptions "$build" | jq -r '.[] | select(.name == "prefix").value')
assert_eq "$prefix" /usr/local "the prefix of $build"

ninja -C "$build" fs/imgfs man/imgfs.1 man/imgfs.5 man/mount.imgfs.8 >"$work/ninja.log"
DESTDIR=$work/root meson install -C "$build" --no-rebuild >"$work/install.log"
root=$work/root/usr/local
(cd "$root" && find . -type f -printf '%P %m\n' -o -type l -printf '%P -> %l\n') |
	sed '/^share\/doc\/imgfs\/docs\//d' | LC_ALL=C sort >"$work/files"
diff - "$work/files" >&2 <<'END' || fail "other files than these are installed"
bin/imgfs 755
lib/systemd/system/imgfs@.service 644
lib/systemd/user/imgfs@.service 644
lib/tmpfiles.d/imgfs.conf 644
sbin/mount.fuse.imgfs -> ../bin/imgfs
sbin/mount.imgfs -> ../bin/imgfs
share/bash-completion/completions/imgfs 644
share/bash-completion/completions/mount.imgfs -> imgfs
share/doc/imgfs/CHANGELOG.md 644
share/doc/imgfs/README.md 644
share/doc/imgfs/SECURITY.md 644
share/doc/imgfs/examples/make-demo-layout 755
share/doc/imgfs/examples/ocilayout.py 644
share/doc/imgfs/examples/systemd/mnt-app.automount 644
share/doc/imgfs/examples/systemd/mnt-app.mount 644
share/fish/vendor_completions.d/imgfs.fish 644
share/fish/vendor_completions.d/mount.imgfs.fish -> imgfs.fish
share/man/man1/imgfs.1 644
share/man/man5/imgfs.5 644
share/man/man8/mount.fuse.imgfs.8 -> mount.imgfs.8
share/man/man8/mount.imgfs.8 644
share/zsh/site-functions/_imgfs 644
END
diff -r "$repository/docs" "$root/share/doc/imgfs/docs" || fail "docs/ is not there as it is"
dangling=$(find "$root" -xtype l)
assert_eq "$dangling" "" "links that lead nowhere"
assert_eq "$(find "$work/root" -mindepth 1 -maxdepth 2 -printf '%P\n' | paste -s -d ' ')" "usr usr/local" "outside"

version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$repository/meson.build")
for program in bin/imgfs sbin/mount.imgfs sbin/mount.fuse.imgfs; do
	assert_eq "$("$root/$program" --version)" "imgfs $version" "$program --version"
done
for unit in system user; do
	assert_contains "$(<"$root/lib/systemd/$unit/imgfs@.service")" "ExecStart=/usr/local/bin/imgfs mount" "$unit"
done
