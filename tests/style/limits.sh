#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# LIMITS in imgfs(5) tells what the program does: each row here is one there, and a constant in the source.
. "$(dirname "$0")/../lib.sh"

page=$repository/man/imgfs.5.scd

# constant NAME FILE: its value.  "NAME = 1 << 20," in an enum, or #define NAME (UINT64_C(1) << 42).
constant() {
	local text
	text=$(grep -E "(^|[[:space:]{])$1( =|[[:space:]]+[(U0-9])" "$repository/$2" |
		sed -E "s/.*$1( =|[[:space:]])//; s@/\*.*@@; s/[,}].*//; s/UINT64_C\(([0-9]+)\)/\1/g; s/([0-9])u\b/\1/g")
	[[ -n $text && $text != *$'\n'* ]] || fail "$1 is not once in $2"
	printf '%s\n' "$((text))"
}

# row WHAT: the limit in the page, as a number.
row() {
	local text unit
	text=$(awk -v what="$1" '/^# LIMITS/ { is_in = 1 } is_in && sub(/^(\]\[|\|) +/, "") && $0 == what {
		getline; sub(/^:\[ +/, ""); print }' "$page")
	[[ $text =~ ^([0-9]+)(\ (Ki|Mi|Gi|Ti|KiB|MiB|GiB|TiB|bytes))?$ ]] || fail "'$1' is no row of LIMITS: '$text'"
	unit=${BASH_REMATCH[3]:-}
	case $unit in
	Ki*) unit=$((1 << 10)) ;;
	Mi*) unit=$((1 << 20)) ;;
	Gi*) unit=$((1 << 30)) ;;
	Ti*) unit=$((1 << 40)) ;;
	*) unit=1 ;;
	esac
	printf '%s\n' "$((BASH_REMATCH[1] * unit))"
}

rows=0
while IFS='|' read -r what name file; do
	read -r name <<<"$name"
	read -r file <<<"$file"
	what=${what%"${what##*[![:space:]]}"}
	expected=$(constant "$name" "$file")
	[[ $name != *_LOG_MAX ]] || expected=$((1 << expected))
	assert_eq "$(row "$what")" "$expected" "$what ($name)"
	rows=$((rows + 1))
done <<'END'
a manifest, an index, a config              | DOCUMENT_MAX         | model/image.h
levels of JSON                              | JSON_DEPTH_MAX       | model/image.h
objects and arrays of a JSON text           | CONTAINERS_MAX       | model/json.c
values of a JSON text                       | VALUES_MAX           | model/json.c
manifests of an index                       | INDEX_ENTRIES_MAX    | model/image.h
indexes inside indexes                      | INDEX_DEPTH_MAX      | model/image.h
layers of an image                          | IMAGE_LAYERS_MAX     | model/image.h
history entries of an image                 | IMAGE_HISTORY_MAX    | model/image.h
annotations of one object                   | ANNOTATIONS_MAX      | model/image.h
_index.json_ of a layout                    | LAYOUT_INDEX_MAX     | fetch/layout/internal.h
images of a docker-archive                  | ARCHIVE_IMAGES_MAX   | fetch/archive/archive.h
members of an archive that is mounted       | BUNDLE_MEMBERS_MAX   | fetch/bundle/bundle.h
headers of an answer                        | HTTP_HEADERS_MAX     | fetch/http/http.h
redirects, one after the other              | HTTP_REDIRECTS_MAX   | fetch/http/http.h
a page of tags or repositories              | LIST_BYTES_MAX       | fetch/source.h
pages of them                               | LIST_PAGES_MAX       | fetch/source.h
names of a list                             | LIST_NAMES_MAX       | fetch/source.h
referrers of a manifest                     | REFERRERS_MAX        | fetch/source.h
an auth file                                | AUTH_FILE_MAX        | fetch/auth/auth.h
an answer of a token service                | AUTH_TOKEN_MAX       | fetch/auth/auth.h
an answer of a credential helper            | HELPER_ANSWER_MAX    | fetch/auth/internal.h
a layer, uncompressed                       | INDEXER_PLAIN_MAX    | fetch/layer/indexer.h
zstd's window                               | ZSTD_WINDOW_LOG_MAX  | fetch/layer/internal.h
xz's dictionary, about                      | XZ_MEMORY_MAX        | fetch/layer/internal.h
places in gzip that need a window           | WINDOWS_MAX          | fetch/layer/internal.h
entries of a layer                          | TREE_ENTRIES_MAX     | model/tree/tree.h
names, links and attributes of a layer      | TREE_STRINGS_MAX     | model/tree/tree.h
a name                                      | TREE_NAME_MAX        | model/tree/tree.h
a symlink's target                          | TREE_LINK_MAX        | model/tree/tree.h
a pax header or a GNU long name             | TAR_HEADER_MAX       | model/tar/tar.h
global pax records                          | TAR_GLOBAL_MAX       | model/tar/tar.h
segments of a sparse file                   | TAR_SPARSE_MAX       | model/tar/tar.h
a sparse map as written                     | TAR_SPARSE_BYTES_MAX | model/tar/tar.h
extended attributes of an entry             | TAR_XATTRS_MAX       | model/tar/tar.h
requests that wait                          | PARKED_MAX           | fs/fs.h
listings kept for who reads on              | LISTINGS_MAX         | fs/node.h
documents kept in memory                    | DOCUMENTS_MAX        | fs/objects.h
stored bytes of layers, kept to be decoded  | PIECES_MAX           | fs/objects_pieces.c
lines that wait for who reads the log       | LOG_WAITING          | fs/log_sink.h
END

# And the page has no other rows.
in_page=$(sed -n '/^# LIMITS/,/^# CONTROL FILES/p' "$page" | grep -c '^|')
assert_eq "$in_page" "$rows" "rows of LIMITS in the page"
