#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tabulator in bash, zsh and fish: what is typed, and which words the command gets.
. "$(dirname "$0")/../lib.sh"
need_root
need bash zsh fish
[[ -e /usr/share/bash-completion/bash_completion ]] || skip "no bash-completion"

layout=$(demo_layout)
source=$repository/fs/system
mnt="$work/a mount"
mount_imgfs "oci:$layout" "$mnt"
mkdir "$work/bin" "$work/certs" "$work/layout" "$work/zsh" "$work/home"
touch "$work/auth.json" "$work/archive.tar"

# The program answers completions; otherwise it writes down its words, a line a call.
cat >"$work/bin/imgfs" <<END
#!/bin/bash
[[ \${1:-} != --complete ]] || exec $IMGFS "\$@"
(printf '%s' "\${0##*/}" && printf '|%s' "\$@" && echo) >>"$work/typed"
END
chmod +x "$work/bin/imgfs"
ln -s imgfs "$work/bin/mount.imgfs"

# What is typed, and the words; @ is the directory of this test.
cases=(
	'imgfs umo\t x' 'imgfs|umount|x'
	'imgfs umount @/a\t' 'imgfs|umount|@/a mount'
	'imgfs status --js\t@/a\t' 'imgfs|status|--json|@/a mount'
	'imgfs ref\t@/a\t' 'imgfs|refresh|@/a mount'
	'imgfs cache ver\t--dry\t' 'imgfs|cache|verify|--dry-run'
	'imgfs docker-d\t x' 'imgfs|docker-daemon:|x'
	'imgfs docker:\tdebian x' 'imgfs|docker://debian|x'
	'imgfs oci:@/lay\tz x' 'imgfs|oci:@/layout/z|x'
	'imgfs oci-archive:@/arch\t x' 'imgfs|oci-archive:@/archive.tar|x'
	'imgfs @/arch\tx' 'imgfs|@/archive.tar|x'
	'imgfs mount --plat\tnat\toci:x y' 'imgfs|mount|--platform=native|oci:x|y'
	'imgfs mount --manifest=do\t oci:x y' 'imgfs|mount|--manifest=docker|oci:x|y'
	'imgfs mount --authf\t@/au\toci:x y' 'imgfs|mount|--authfile=@/auth.json|oci:x|y'
	'imgfs oci:x y -o rootf\t,cert_\t@/cer\tz' 'imgfs|oci:x|y|-o|rootfs,cert_dir=@/certs/z'
	'imgfs oci:x y -o log_l\tdeb\t,tt\t10s' 'imgfs|oci:x|y|-o|log_level=debug,ttl=10s'
	'imgfs oci:x y -o whiteouts=o\t,tls_verify=n\t' 'imgfs|oci:x|y|-o|whiteouts=overlay,tls_verify=no'
	'mount.imgfs oci:x y -o mani\tdo\t' 'mount.imgfs|oci:x|y|-o|manifest=docker'
	'mount.imgfs docker-a\t@/arch\ty' 'mount.imgfs|docker-archive:@/archive.tar|y'
)

# types SHELL ENVIRONMENT... COMMAND...: in that shell those words come of those keys.
types() {
	local shell=$1 i
	shift
	: >"$work/typed"
	for ((i = 0; i < ${#cases[@]}; i += 2)); do
		printf '%s\n' "${cases[i]//@/$work}"
	done | env -i HOME="$work/home" TERM=xterm LC_ALL=C.UTF-8 PATH="$work/bin:/usr/bin:/bin" \
		ASAN_OPTIONS="$ASAN_OPTIONS" "$@" >"$work/$shell.log" 2>&1 ||
		fail "$shell: $(<"$work/$shell.log")"
	mapfile -t typed <"$work/typed"
	for ((i = 0; i < ${#cases[@]}; i += 2)); do
		assert_eq "${typed[i / 2]}" "${cases[i + 1]//@/$work}" "$shell: ${cases[i]}"
	done
}
typist=("$tests/typist.py" "$work/typed" "ready>")

mkdir -p "$work/bash/completions"
cp "$source/imgfs.bash" "$work/bash/completions/imgfs"
ln -s imgfs "$work/bash/completions/mount.imgfs"
cat >"$work/bashrc" <<'END'
. /usr/share/bash-completion/bash_completion
PS1='ready> '
END
types bash BASH_COMPLETION_USER_DIR="$work/bash" "${typist[@]}" bash --rcfile "$work/bashrc" -i

cat >"$work/zsh/.zshrc" <<END
fpath=($source \$fpath)
autoload -U compinit && compinit -u -d $work/zsh/dump
PS1='ready> '
END
types zsh ZDOTDIR="$work/zsh" "${typist[@]}" zsh -i

mkdir -p "$work/fish/fish/completions"
cp "$source/imgfs.fish" "$work/fish/fish/completions"
ln -s imgfs.fish "$work/fish/fish/completions/mount.imgfs.fish"
cat >"$work/fish/fish/config.fish" <<'END'
function fish_prompt; echo 'ready> '; end
set -g fish_greeting
END
types fish XDG_CONFIG_HOME="$work/fish" XDG_DATA_HOME="$work/fish/data" "${typist[@]}" fish -i
