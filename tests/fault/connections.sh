#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry that cannot be reached: what is in the cache goes on, the rest is an error that says why.
. "$(dirname "$0")/../rows.sh"
need_root
need curl jq python3 unshare openssl

make_images "$work" 20
start_faultregistry "app=$work/layout"
port=${registry#*:}
mnt=$work/mnt
options="retries=1,connect_timeout=2s,$logged"

row_dns() {
	local name=registry.invalid pid
	mkdir -p "$mnt"
	assert_eq "$(exit_code "$IMGFS" "docker://$name:$port/app" "$mnt" -o "cache_dir=$work/empty,$options")" 32 \
		"a name nobody knows"
	assert_contains "$(<"$work/stderr")" "$name" "the message"
	assert_contains "$(<"$work/stderr")" "resolve" "the message"

	# By a name that is known here alone, and then is not any more.
	printf '127.0.0.1 %s\n' "$name" >"$work/hosts"
	in_a_namespace
	next_image
	mnt=/proc/$pid/root$work/named
	root=$mnt/$tag/linux_amd64/rootfs
	is_right
	next_image
	ls "$mnt/$tag/linux_amd64" >"$work/stdout"
	end_in_namespace
	: >"$work/hosts"
	in_a_namespace
	mnt=/proc/$pid/root$work/named
	from_here
	assert_fails "No route to host" cat "$mnt/$tag/linux_amd64/rootfs/body"
	log_says "resolve" "$name"
	(($(counted net_dns) >= 1)) || fail "net_dns was not counted"
	(($(counted http_failures) >= 1)) || fail "http_failures was not counted"
	image_number=-1
	next_image
	root=$mnt/$tag/linux_amd64/rootfs
	is_right
	assert_contains "$(<"$log")" "serving from cache" "the log"
	end_in_namespace
	mnt=$work/mnt
}

# As far as the certificate, or what comes instead, and not further: nothing is asked for by http.
row_tls_expired() {
	local name=registry.invalid pki=$work/pki days text
	mkdir -p "$pki" "$mnt"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 \
		-out "$pki/csr" -keyout "$pki/key" 2>"$work/stderr"
	for days in -1 1; do
		openssl x509 -req -in "$pki/csr" -signkey "$pki/key" -days "$days" \
			-extfile <(echo subjectAltName=IP:127.0.0.1) -out "$pki/ca.crt" 2>"$work/stderr"
		start_faultregistry --tls-cert "$pki/ca.crt" --tls-key "$pki/key" "app=$work/layout"
		text=$(exit_code "$IMGFS" "docker://$registry/app" "$mnt" -o "cache_dir=$work/empty,cert_dir=$pki,$options")
		if ((days < 0)); then
			assert_eq "$text" 32 "a certificate that has expired"
			assert_contains "$(<"$work/stderr")" "certificate" "the message"
			assert_contains "$(<"$work/stderr")" "expired" "the message"
		else
			assert_eq "$text" 0 "one that has not"
			umount "$mnt"
		fi
		end_process "$registry_pid"
	done
	start_faultregistry --port "$port" "app=$work/layout"
	printf '127.0.0.1 %s\n' "$name" >"$work/hosts"
	# shellcheck disable=SC2016 # it is that shell's
	assert_eq "$(exit_code "${apart[@]}" sh -c 'mount --bind "$1" /etc/hosts && shift && exec "$@"' _ \
		"$work/hosts" "$IMGFS" "docker://$name:$port/app" "$mnt" -o "cache_dir=$work/empty,$options")" 32 \
		"a port that speaks http"
	assert_contains "$(<"$work/stderr")" "$name" "the message"
	assert_eq "$(requests)" 0 "requests by http"
}

# The program with a file of hosts of its own, and a mount that only /proc/PID/root leads to: pid.
in_a_namespace() {
	mkdir -p "$work/named"
	# shellcheck disable=SC2016 # it is that shell's
	"${apart[@]}" sh -c 'mount --bind "$1" /etc/hosts && shift && exec "$@"' _ "$work/hosts" \
		"$IMGFS" "docker://$name:$port/app" "$work/named" -f \
		-o "cache_dir=$cache,tls_verify=no,$options" >"$work/stdout" 2>"$work/stderr" </dev/null &
	pid=$!
	at_exit end_process "$pid"
	there() { [[ -e /proc/$pid/root$work/named/.imgfs/pid ]]; }
	poll 20 there || fail "no mount of $name: $(<"$work/stderr")"
}

end_in_namespace() {
	kill "$pid"
	wait_gone "$pid" || fail "the daemon of $name lives on"
}

row_refused() {
	mount_imgfs "docker://$registry/app" "$mnt" "$options"
	cold
	is_right
	local here=$root its_content=$content
	cold
	end_process "$registry_pid"
	assert_fails "No route to host" cat "$root/body"
	log_says "$registry" "onnect"
	(($(counted net_connect) >= 1)) || fail "net_connect was not counted"
	(($(counted http_retries_connect) >= 1)) || fail "http_retries_connect was not counted"
	assert_counted http_failures 1
	diff -r "$here" "$its_content" >&2 || fail "what is here cannot be read"
	start_faultregistry --port "$port" "app=$work/layout"
	readable() { cat "$root/body" >"$work/body" 2>"$work/stderr"; }
	poll 20 readable || fail "a registry that came back is not asked"
	is_right
	unmount "$mnt"
	end_process "$registry_pid"
	assert_eq "$(exit_code "$IMGFS" "docker://$registry/app" "$mnt" -o "cache_dir=$work/empty,$options")" 32 \
		"a port that refuses"
	assert_contains "$(<"$work/stderr")" "$registry" "the message"
}

run_rows
