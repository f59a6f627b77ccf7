#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which certificates are believed and which are shown: cert_dir=, certs.d, SSL_CERT_FILE and _DIR,
# tls_verify=no, and client certificates, which are for one host alone.
. "$(dirname "$0")/../lib.sh"
need_root
need openssl jq curl unshare

demo=$(demo_layout)
start_faultregistry "app=$demo"
plain=${registry#*:}
export HOME=$work/home
mkdir "$HOME"
mnt=$work/mnt
pki=$work/pki
mkdir "$pki"

# authority NAME; certificate NAME AUTHORITY SUBJECT-ALTERNATIVE-NAME
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
		-out "$pki/$1.pem" -keyout "$pki/$1-key.pem" 2>>"$work/openssl.log"
}
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
		-out "$pki/$1.csr" -keyout "$pki/$1-key.pem" 2>>"$work/openssl.log"
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$2.pem" -CAkey "$pki/$2-key.pem" -CAcreateserial \
		-days 2 -extfile <(printf 'subjectAltName=%s\n' "$3") -out "$pki/$1.pem" \
		2>>"$work/openssl.log"
}
authority right
authority other
authority clients
certificate server right IP:127.0.0.1
certificate elsewhere right DNS:elsewhere.invalid
certificate client clients DNS:client.invalid

# start_front NAME CERTIFICATE [OPTIONS]: TLS in front of the registry; NAME.log has its clients' names.
start_front() {
	local name=$1 certificate=$2
	shift 2
	"$tests/front.py" tls --cert "$pki/$certificate.pem" --key "$pki/$certificate-key.pem" "$@" \
		"$work/$name.port" "$work/$name.log" "$plain" >"$work/$name.err" 2>&1 </dev/null &
	at_exit end_process "$!"
	poll 20 test -s "$work/$name.port" || fail "front: $(<"$work/$name.err")"
	port=$(<"$work/$name.port")
}

# reads PORT [OPTIONS]: an image is right, through that port.
reads() {
	rm -rf "$cache"
	mount_imgfs "docker://127.0.0.1:$1/app:1.0" "$mnt" "retries=0${2:+,$2}"
	assert_contains "$(<"$mnt/linux_amd64/rootfs/etc/os-release")" "imgfs demo 1.0" "${2:-}"
	unmount "$mnt"
}

# refuses PORT TEXT [OPTIONS]: it is not even mounted, and says so.
refuses() {
	mkdir -p "$mnt"
	assert_eq "$(exit_code "$IMGFS" "docker://127.0.0.1:$1/app" "$mnt" -o "retries=0${3:+,$3}")" 32 "${3:-}"
	assert_contains "$(<"$work/stderr")" "$2" "the message"
}

# ---- the server's certificate -------------------------------------------------------------------

start_front front server
front=$port
refuses "$front" "certificate"
reads "$front" tls_verify=no
SSL_CERT_FILE=$pki/right.pem reads "$front"
mkdir "$work/hashed"
cp "$pki/right.pem" "$work/hashed"
openssl rehash "$work/hashed"
SSL_CERT_DIR=$work/hashed reads "$front"

# All of cert_dir's authorities count, and the usual ones besides.
mkdir "$work/certs"
cp "$pki/other.pem" "$work/certs/1.crt"
refuses "$front" "certificate" "cert_dir=$work/certs"
SSL_CERT_FILE=$pki/right.pem reads "$front" "cert_dir=$work/certs"
cp "$pki/right.pem" "$work/certs/2.crt"
reads "$front" "cert_dir=$work/certs"
refuses "$front" "no directory" "cert_dir=$work/nowhere"

# The host's directory in the usual places, by host and port.
mkdir -p "$HOME/.config/containers/certs.d/127.0.0.1:$front"
cp "$pki/right.pem" "$HOME/.config/containers/certs.d/127.0.0.1:$front/ca.crt"
reads "$front"
rm -r "$HOME/.config"
mkdir -p "$HOME/.config/containers/certs.d/127.0.0.1:1"
cp "$pki/right.pem" "$HOME/.config/containers/certs.d/127.0.0.1:1/ca.crt"
refuses "$front" "certificate"
rm -r "$HOME/.config"

# Those of the system, in a copy of /etc that nobody else sees.
mkdir -p "$mnt" "$work/etc"
for place in containers docker; do
	# shellcheck disable=SC2016 # the variables are the inner shell's
	"${apart[@]}" bash -c '
		set -e
		mount -t tmpfs none "$1/etc"
		cp -a /etc/. "$1/etc"
		mount --bind "$1/etc" /etc
		umount "$1/etc"
		mkdir -p "/etc/$2/certs.d/127.0.0.1:$3"
		cp "$1/pki/right.pem" "/etc/$2/certs.d/127.0.0.1:$3/ca.crt"
		"$IMGFS" "docker://127.0.0.1:$3/app:1.0" "$4" -o "cache_dir=$1/cache-$2,retries=0"
		cat "$4/linux_amd64/rootfs/etc/os-release"
		umount "$4"
	' _ "$work" "$place" "$front" "$mnt" >"$work/stdout" 2>"$work/stderr" </dev/null ||
		fail "/etc/$place/certs.d: $(<"$work/stderr")"
	assert_contains "$(<"$work/stdout")" "imgfs demo 1.0" "/etc/$place/certs.d"
done

start_front named elsewhere
refuses "$port" "certificate" "cert_dir=$work/certs"

# ---- no way back to http -------------------------------------------------------------------------

rm -rf "$cache"
start_front downgrade server
mount_imgfs "docker://127.0.0.1:$port/app:1.0" "$mnt" "retries=0,cert_dir=$work/certs"
rules "[{\"match\": {\"path\": \"/blobs/\"}, \"do\": {\"redirect\": \"http://127.0.0.1:$plain/plain\"}}]"
assert_fails "Input/output error" cat "$mnt/linux_amd64/rootfs/etc/os-release"
assert_contains "$(<"$mnt/.imgfs/log")" "refused to be redirected from https" "what the log says"
assert_eq "$(requests '.paths["/plain"].requests // 0')" 0 "requests by http"
(($(counter "$mnt" .net_redirect) > 0)) || fail "the redirect was not counted"
rules '[]'
unmount "$mnt"

# ---- the client's --------------------------------------------------------------------------------

start_front strict server --client-ca "$pki/clients.pem"
strict=$port
assert_eq "$(exit_code "$IMGFS" "docker://127.0.0.1:$strict/app" "$mnt" -o "retries=0,cert_dir=$work/certs")" \
	32 "without a client's certificate"
cp "$pki/client.pem" "$work/certs/me.cert"
refuses "$strict" "me.key" "cert_dir=$work/certs"
cp "$pki/client-key.pem" "$work/certs/me.key"
rm "$work/certs/me.cert"
refuses "$strict" "me.cert" "cert_dir=$work/certs"
cp "$pki/client.pem" "$work/certs/me.cert"
reads "$strict" "cert_dir=$work/certs"
assert_eq "$(sort -u "$work/strict.log")" client "who came"

# A mirror sees nothing of it, though it asks.
start_front mirror server --client-ca "$pki/clients.pem" --optional
mkdir -p "$HOME/.config/containers/certs.d/127.0.0.1:$port"
cp "$pki/right.pem" "$HOME/.config/containers/certs.d/127.0.0.1:$port/ca.crt"
printf '[[registry]]\nlocation = "127.0.0.1:%s"\n[[registry.mirror]]\nlocation = "127.0.0.1:%s"\n' \
	"$strict" "$port" >"$work/registries.conf"
reads "$strict" "cert_dir=$work/certs,registries_conf=$work/registries.conf"
assert_eq "$(sort -u "$work/mirror.log")" none "who came to the mirror"
# Its own it gets.
cp "$pki/client.pem" "$HOME/.config/containers/certs.d/127.0.0.1:$port/me.cert"
cp "$pki/client-key.pem" "$HOME/.config/containers/certs.d/127.0.0.1:$port/me.key"
: >"$work/mirror.log"
reads "$strict" "cert_dir=$work/certs,registries_conf=$work/registries.conf"
assert_eq "$(sort -u "$work/mirror.log")" client "who came to the mirror then"
