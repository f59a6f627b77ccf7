# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Completions of imgfs(1) and mount.imgfs(8) for bash-completion.  The program itself knows what may stand where
# (fs/complete.h); here is only what bash needs to be told it.

_imgfs() {
	local cur words cword candidate argument broken='' breaks='' typed nospace='' paths='' skip=0
	COMPREPLY=()
	# "oci:" and "ttl=" are parts of a word for the program, and ends of words for readline.
	_get_comp_words_by_ref -n =: cur words cword
	while IFS=$'\t' read -r candidate argument; do
		case $candidate in
		:files) paths=-f skip=$argument ;;
		:directories) paths=-d skip=$argument ;;
		:list) nospace=1 ;;
		*)
			[[ $candidate != *[[:space:]\\\'\"\$\`\&\;\<\>\|\(\)\*\?\[]* ]] || printf -v candidate %q "$candidate"
			COMPREPLY+=("$candidate")
			[[ $candidate != *[=:/] ]] || nospace=1
			;;
		esac
	done < <(imgfs --complete "${words[@]:0:cword}" "${cur//\\/}" 2>/dev/null)
	typed=$cur
	# Names of files are quoted by readline, for which there must be nothing else.
	if [[ -n $paths && ${#COMPREPLY[@]} -eq 0 ]]; then
		cur=${cur:skip}
		typed=$cur
		case $paths in
		-d) _filedir -d ;;
		*) _filedir ;;
		esac
	elif [[ -n $nospace ]]; then
		compopt -o nospace
	fi
	[[ $COMP_WORDBREAKS != *:* ]] || breaks+=:
	[[ $COMP_WORDBREAKS != *=* ]] || breaks+='='
	[[ -z $breaks ]] || broken=${typed%"${typed##*["$breaks"]}"}
	COMPREPLY=("${COMPREPLY[@]#"$broken"}")
}
complete -F _imgfs imgfs mount.imgfs
