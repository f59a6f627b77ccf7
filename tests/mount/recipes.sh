#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# README.md: each command in it prints what is shown there.  Who changes that on purpose records it anew,
# looks at the difference, and commits it:
#
#   tests/mount/recipes.sh --record
. "$(dirname "$0")/../lib.sh"
need_root
need bwrap curl docker-registry getfattr ip jq openssl python3 skopeo unshare

# Names, ports, an fstab, a home and an /sbin of our own: README.md is for any machine.
if [[ -z ${own_namespaces:-} ]]; then
	rm -rf "$work"
	exec env -u ASAN_OPTIONS -u UBSAN_OPTIONS -u LSAN_OPTIONS -u TSAN_OPTIONS own_namespaces=1 \
		unshare --net "${apart[@]}" "$0" "$@"
fi
ip link set lo up
mkdir "$work"/{bin,sbin,home,run,here}
ln -s "$IMGFS" "$work/bin/imgfs"
ln -s "$IMGFS" "$work/sbin/mount.imgfs"
ln -s "$repository/examples" "$work/here/examples"
printf '127.0.0.1 localhost registry.example old.example new.example\n' >"$work/hosts"
: >"$work/fstab"
mount --bind "$work/hosts" /etc/hosts
mount --bind "$work/fstab" /etc/fstab
mount -t overlay -o "lowerdir=$work/sbin:/usr/sbin" overlay /usr/sbin
mount -t tmpfs none /mnt
[[ ! -d /run/systemd ]] || mount -t tmpfs none /run/systemd # or mount(8) speaks of it
mkdir /mnt/app
export HOME=$work/home XDG_RUNTIME_DIR=$work/run PATH=$work/bin:$PATH LC_ALL=C
export IMGFS_CACHE_DIR=$cache TERM=dumb
unset REGISTRY_AUTH_FILE DOCKER_CONFIG CURL_CA_BUNDLE SSL_CERT_DIR
umask 022

# ---- registries: of today, of 2015, and one to push to --------------------------------------------

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=registries \
	-addext subjectAltName=DNS:registry.example,DNS:old.example,DNS:new.example \
	-out "$work/cert.pem" -keyout "$work/key.pem" 2>"$work/openssl.log"
export SSL_CERT_FILE=$work/cert.pem

# serve NAME ARGS...: a registry, by TLS.
serve() {
	local name=$1
	shift
	PYTHONDONTWRITEBYTECODE=1 python3 "$fault_program" --port-file "$work/$name.ports" \
		--tls-cert "$work/cert.pem" --tls-key "$work/key.pem" "$@" >"$work/$name.log" 2>&1 </dev/null &
	at_exit end_process "$!"
	poll 20 test -s "$work/$name.ports" || fail "$name: $(tail -n 3 "$work/$name.log")"
}

demo=$(demo_layout)
generation=$(generations)
serve registry --port 443 --auth token --realm https://registry.example/token --user me:secret \
	--acl "team/app=*" "team/app=$demo" "team/private=$demo"
serve old --port 5000 --schema1 "app=$generation/oci"
tag_2015=$(curl -sf -H 'Accept: */*' -o /dev/null -D - https://old.example:5000/v2/app/manifests/1.0.v1 |
	tr -d '\r' | sed -n 's/^docker-content-digest: //ip')
curl -sfS -d "{\"repo\": \"app\", \"tag\": \"2015\", \"digest\": \"$tag_2015\"}" \
	https://old.example:5000/__tag >"$work/answer"
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error}
storage: {inmemory: {}}
http: {addr: "127.0.0.1:5001", tls: {certificate: $work/cert.pem, key: $work/key.pem}}
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
at_exit end_process "$!"
poll 20 answers https://new.example:5001/v2/ || fail "registry: $(tail -n 3 "$work/registry.log")"

# ---- everything that README.md has --------------------------------------------------------------

# is_served: is there a daemon in our namespaces?
is_served() {
	local exe ours
	ours=$(readlink /proc/self/ns/net)
	for exe in /proc/[0-9]*/exe; do
		[[ ! $exe -ef $IMGFS || $(readlink "${exe%/exe}/ns/net") != "$ours" ]] || return 0
	done
	return 1
}
is_left() { ! is_served; }

ours() { awk -v here="$work/" '/ fuse.imgfs / && (index($5, here) == 1 || index($5, "/mnt/") == 1) { print $5 }' \
	/proc/self/mountinfo; }

unmount_all() {
	local directory
	for directory in $(ours); do
		umount "$directory" || umount -l "$directory"
	done
}
at_exit unmount_all

cd "$work/here"
"$tests/readme.py" "$@" "$repository/README.md" >"$work/difference" ||
	fail "README.md shows something else: $(<"$work/difference")"
cd /
assert_eq "$(ours)" "" "mounts that README.md leaves"
poll 20 is_left || fail "a daemon lives on after umount"
