#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proxies, from the option and from the environment: which requests go through one, and which do not.
. "$(dirname "$0")/../lib.sh"
need openssl jq curl

demo=$(demo_layout)
start_faultregistry "app=$demo"
plain=${registry#*:}
name=registry.invalid # which nobody can resolve: so the proxy must have been asked
mnt=$work/mnt
mkdir "$mnt"
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

# start_front KIND [OPTIONS]: sets port; KIND.log has what it saw.
start_front() {
	local kind=$1
	shift
	rm -f "$work/$kind.port"
	"$tests/front.py" "$kind" "$@" >"$work/$kind.err" 2>&1 </dev/null &
	at_exit end_process "$!"
	poll 20 test -s "$work/$kind.port" || fail "front: $(<"$work/$kind.err")"
	port=$(<"$work/$kind.port")
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" \
	-addext "subjectAltName=DNS:$name" -out "$work/cert.pem" -keyout "$work/key.pem" 2>"$work/openssl.log"
start_front tls --cert "$work/cert.pem" --key "$work/key.pem" "$work/tls.port" "$work/tls.log" "$plain"
tls=$port
start_front proxy "$work/proxy.port" "$work/proxy.log" "$plain" "$tls"
proxy=http://127.0.0.1:$port
export SSL_CERT_FILE=$work/cert.pem

# reads [OPTIONS]: an image of that name is right.
reads() {
	rm -rf "$cache"
	: >"$work/proxy.log"
	mount_imgfs "docker://$name/app:1.0" "$mnt" "retries=0${1:+,$1}"
	assert_contains "$(<"$mnt/linux_amd64/rootfs/etc/os-release")" "imgfs demo 1.0" "through the proxy"
	unmount "$mnt"
}
refuses() {
	: >"$work/proxy.log"
	assert_eq "$(exit_code "$IMGFS" "docker://$name/app:1.0" "$mnt" -o "retries=0${1:+,$1}")" 32 "$*"
}
tunnelled() { assert_eq "$(sort -u "$work/proxy.log")" "CONNECT $name:443 HTTP/1.1" "$1"; }
untouched() { assert_eq "$(<"$work/proxy.log")" "" "$1"; }

refuses # nobody knows the name
reads "proxy=$proxy"
tunnelled "proxy="
for variable in https_proxy HTTPS_PROXY all_proxy ALL_PROXY; do
	export "$variable=$proxy"
	reads
	tunnelled "$variable"
	unset "$variable"
done
export http_proxy=$proxy HTTP_PROXY=$proxy
refuses
untouched "http_proxy, for https"
unset http_proxy HTTP_PROXY

# The option comes before the environment.
export https_proxy=http://127.0.0.1:1
reads "proxy=$proxy"
tunnelled "proxy= with an environment"

# Names that are excepted.
export https_proxy=$proxy
for variable in no_proxy NO_PROXY; do
	for value in "$name" .invalid "x.example,$name" "*"; do
		export "$variable=$value"
		refuses
		untouched "$variable=$value"
		unset "$variable"
	done
	export "$variable=other.invalid"
	reads
	tunnelled "$variable=other.invalid"
	unset "$variable"
done

# Loopback is asked directly, whatever the environment says.
: >"$work/proxy.log"
http_proxy=$proxy mount_imgfs "docker://$registry/app:1.0" "$mnt"
unmount "$mnt"
untouched "loopback"
unset https_proxy

# http, where it is allowed: both spellings, as for Go's tools.
for variable in http_proxy HTTP_PROXY; do
	export "$variable=$proxy"
	reads tls_verify=no
	grep -q "^GET http://$name/v2/" "$work/proxy.log" || fail "$variable: $(<"$work/proxy.log")"
	unset "$variable"
done

# Whom the proxy wants to know it learns, and the registry does not.
start_front proxy --user u:p "$work/proxy.port" "$work/proxy.log" "$plain" "$tls"
refuses "proxy=http://127.0.0.1:$port"
assert_contains "$(<"$work/stderr")" 407 "the message"
reads "proxy=http://u:p@127.0.0.1:$port"
tunnelled "a proxy with a login"
assert_eq "$(requests '.statuses["401"] // 0')" 0 "challenges of the registry"
assert_eq "$(curl -sf "$fault/__log" | jq '[.. | objects | select(.auth != null and has("agent"))] | length')" 0 \
	"credentials at the registry"
