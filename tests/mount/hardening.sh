#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program as it would be installed bears what compiler, linker and kernel offer against bugs in it.
#
#   IMGFS_RELEASE  the program that is looked at; default: build-O2/fs/imgfs, as tests/run builds it
. "$(dirname "$0")/../lib.sh"
need readelf objdump
: "${IMGFS_RELEASE:=$repository/build-O2/fs/imgfs}"
[[ -x $IMGFS_RELEASE ]] || skip "no build-O2: tests/run hardening makes it"

elf() { readelf -W "$1" "$IMGFS_RELEASE" >"$work/$2"; }
elf -h header
elf -l segments
elf -d dynamic
elf -n notes
readelf -W --dyn-syms "$IMGFS_RELEASE" >"$work/symbols"

# has WHAT FILE REGEX, has_not
has() { grep -qE "$3" "$work/$2" || fail "$1: no '$3' in readelf's $2"; }
has_not() { ! grep -qE "$3" "$work/$2" || fail "$1: '$3' in readelf's $2"; }

has "position independent" header 'Type: +DYN \(Position-Independent Executable'
has "position independent" dynamic 'Flags:.*\bPIE\b'
has "relocations are read-only" segments '^ +GNU_RELRO '
has "all symbols are bound at the start" dynamic '\(FLAGS_1\) .*\bNOW\b'
has "no stack can be executed" segments '^ +GNU_STACK .* RW +0x'
has_not "no page can be written and executed" segments '^ +LOAD .* RWE '
has_not "no relocations in the code" dynamic '\(TEXTREL\)'
has_not "no place of one machine for libraries" dynamic '\((RPATH|RUNPATH)\)'
has "the stack is guarded" symbols ' __stack_chk_fail'
has "calls of the C library are checked" symbols ' __(memcpy|snprintf|vsnprintf|read|pread64)_chk'
# The note in the file (IBT, SHSTK) is made where the start files of the C library have theirs, which Debian 12's have not.
case $(uname -m) in
x86_64)
	objdump -d --no-show-raw-insn "$IMGFS_RELEASE" >"$work/code"
	(($(grep -cw endbr64 "$work/code") > 100)) || fail "targets of indirect jumps are not marked"
	;;
esac
