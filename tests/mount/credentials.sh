#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Credentials reach those they are for, from wherever they are kept, and nobody else.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq ip unshare openssl

# Names, addresses, a home and a $PATH of our own.
if [[ -z ${own_namespaces:-} ]]; then
	rm -rf "$work"
	exec env -u ASAN_OPTIONS -u UBSAN_OPTIONS -u LSAN_OPTIONS -u TSAN_OPTIONS own_namespaces=1 \
		unshare --net "${apart[@]}" "$0"
fi
ip link set lo up
ip address add 198.51.100.1/32 dev lo # a public one, as far as anybody can tell
mkdir "$work/home" "$work/bin" "$work/run"
cat >"$work/hosts" <<END
127.0.0.1 localhost
127.0.0.1 r.example.org tokens.example.org tokens.example.net inner.example.org
198.51.100.1 public.example.org public-tokens.example.org
END
mount --bind "$work/hosts" /etc/hosts
mount --bind "$work/home" "$(getent passwd 0 | cut -d : -f 6)"
mount --bind "$work/bin" /usr/local/bin
mkdir -p "$work/home/.docker"

demo=$(demo_layout)
password=correct-horse-battery
pair=$(printf 'u:%s' "$password" | base64 -w 0)
start_faultregistry --auth token --user "u:$password" --blob-redirect --token-ttl 60 "app=$demo"
port=${registry#*:}
# The second one of the same registry, at the public address.
python3 - "$port" <<'END' 2>"$work/relay.log" &
import socket, sys, threading
def copy(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
def relay(client):
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=copy, args=(client, server), daemon=True).start()
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
port = int(sys.argv[1])
listener = socket.create_server(("198.51.100.1", port))
while True:
    relay(listener.accept()[0])
END
at_exit end_process $!
poll 20 answers "http://198.51.100.1:$port/__stats" || fail "no relay"

auth_file() { # HOST...: prints one with the right password for them
	local host
	for host; do
		jq -n --arg host "$host" --arg pair "$pair" '{auths: {($host): {auth: $pair}}}'
	done | jq -s '{auths: map(.auths) | add}'
}

# bare_mount SOURCE DIR OPTIONS: from an environment as empty as that of mount(8) under systemd.
bare_mount() {
	mkdir -p "$2"
	env -i ASAN_OPTIONS="$ASAN_OPTIONS" UBSAN_OPTIONS="$UBSAN_OPTIONS" "$IMGFS" "$1" "$2" \
		-o "cache_dir=$cache${3:+,$3}" </dev/null >"$work/mount.log" 2>&1 || return
	daemons[$2]=$(<"$2/.imgfs/pid")
	at_exit unmount_quietly "$2"
}

# same_images TAG: diff takes any two FIFOs for different ones.
same_images() {
	same_trees "$work/truth/$1/linux_amd64/rootfs/app" "$work/mnt/$1/linux_amd64/rootfs/app"
	"$tests/compare-trees.py" "$work/truth/$1/linux_amd64/rootfs" "$work/mnt/$1/linux_amd64/rootfs" >&2 ||
		fail "$1 differs"
}

# no_secrets MOUNT: what people may read about it.
no_secrets() {
	grep -rFl -e "$password" -e "$pair" "$1/.imgfs/log" "$1/.imgfs/options" "$1/.imgfs/status" \
		"$1/.imgfs/stats.json" "$cache" "$work/mount.log" "$work/stderr" 2>/dev/null &&
		fail "a secret shows"
	return 0
}

# ---- files, tokens, redirects -----------------------------------------------------------------

auth_file "$registry" >"$work/auth.json"
mount_imgfs "oci:$demo" "$work/truth"
rules '[{"match": {"port": "main", "path": "/blobs/", "auth": true}, "every": 5, "do": {"expire_token": true}}]'
mount_imgfs "docker://$registry/app" "$work/mnt" "authfile=$work/auth.json"
same_images 1.0
same_images 1.1
assert_eq "$(requests .auth.cdn_with_authorization)" 0 "requests to the second port with credentials"
assert_eq "$(requests .auth.basic)" "$(requests .auth.token_requests)" "passwords but for tokens"
(($(requests '.faults.rule0 // 0') > 0)) || fail "no token was ever revoked"
no_secrets "$work/mnt"
unmount "$work/mnt"

rules '[]'
reset_requests
assert_eq "$(exit_code "$IMGFS" "docker://$registry/app" "$work/mnt" -o \
	"cache_dir=$cache,authfile=$work/auth.json,no_creds")" 32 "no_creds"
assert_eq "$(requests .auth.basic)" 0 "passwords with no_creds"
assert_contains "$(<"$work/stderr")" "nowhere, as told" "why"

# ---- an empty environment: the home of the password database, and a helper in the usual $PATH ---

cat >"$work/bin/docker-credential-fake" <<END
#!/bin/sh
read -r server
echo "\$1 \$server" >>"$work/run/asked"
echo \$(ls /proc/self/fd) >"$work/run/fds"
. "$work/run/behaviour"
END
chmod 755 "$work/bin/docker-credential-fake"
gives() { printf 'echo '\''{"ServerURL":"x","Username":"%s","Secret":"%s"}'\' "$1" "$2" >"$work/run/behaviour"; }
asked() { wc -l <"$work/run/asked"; }

echo '{"credsStore": "fake"}' >"$work/home/.docker/config.json"
gives u "$password"
: >"$work/run/asked"
rm -rf "$cache"
bare_mount "docker://$registry/app" "$work/mnt" || fail "with a helper: $(<"$work/mount.log")"
same_images 1.0
assert_eq "$(<"$work/run/asked")" "get $registry" "what the helper was asked"
assert_eq "$(<"$work/run/fds")" "0 1 2 3" "its descriptors, and one of ls"
no_secrets "$work/mnt"
unmount "$work/mnt"

# An identity token; and the one that is refused is asked for again while the mount lives.
gives '<token>' "u:$password"
reset_requests
bare_mount "docker://$registry/app" "$work/mnt" || fail "with an identity token: $(<"$work/mount.log")"
assert_eq "$(requests .auth.basic)" 0 "passwords with an identity token"
unmount "$work/mnt"
gives u wrong
bare_mount "docker://$registry/app" "$work/mnt" nocheck || fail "nocheck: $(<"$work/mount.log")"
assert_fails "Permission denied" ls "$work/mnt"
gives u "$password"
poll 20 ls "$work/mnt" >/dev/null 2>&1 || fail "a new password does not help"
unmount "$work/mnt"

# A helper that hangs holds up nobody for longer than he likes.
echo 'trap "" TERM INT; echo $$ >"'"$work"'/run/pid"; sleep 1000' >"$work/run/behaviour"
rm -f "$work/run/pid"
bare_mount "docker://$registry/app" "$work/mnt" "nocheck,ttl=0" || fail "nocheck: $(<"$work/mount.log")"
env --default-signal ls "$work/mnt" >"$work/stdout" 2>&1 &
reader=$!
poll 20 test -s "$work/run/pid" || fail "no helper"
helper=$(<"$work/run/pid")
kill -INT "$reader"
wait_gone "$reader" 5 || fail "a reader lives 5 s after SIGINT"
unmount "$work/mnt"
wait_gone "$helper" 5 || fail "the helper lives on"

# One that fails, or is not there, costs a warning: the rest is as for anybody.
for helper in fake missing; do
	echo "{\"credsStore\": \"$helper\"}" >"$work/home/.docker/config.json"
	echo 'echo hunter2; echo hunter2 >&2; exit 1' >"$work/run/behaviour"
	mkdir -p "$work/refused"
	assert_eq "$(exit_code env -i ASAN_OPTIONS="$ASAN_OPTIONS" "$IMGFS" "docker://$registry/app" \
		"$work/refused" -o "cache_dir=$cache.2")" 32 "a helper that is of no use"
	assert_contains "$(<"$work/stderr")" "docker-credential-$helper" "who is to blame"
	[[ $(<"$work/stderr") != *hunter2* ]] || fail "a helper's words show"
done
rm "$work/home/.docker/config.json"

# ---- token servers elsewhere ------------------------------------------------------------------

# challenge REALM: what the registry says to whoever comes without a token.
challenge() {
	rules "[{\"match\": {\"path\": \"^/v2/\", \"auth\": false}, \"do\": {\"status\": 401,
		\"www_authenticate\": \"Bearer realm=\\\"$1\\\",service=\\\"faultregistry\\\"\"}}]"
	reset_requests
}
auth_file "r.example.org:$port" "public.example.org:$port" >"$work/auth.json"
# tried HOST [OPTIONS]: mounts and unmounts; prints the exit status.
tried() {
	local rc
	rc=$(exit_code "$IMGFS" "docker://$1:$port/app" "$work/refused" -o \
		"cache_dir=$cache.3,tls_verify=no,authfile=$work/auth.json${2:+,$2}")
	[[ $rc != 0 ]] || umount "$work/refused"
	printf '%s\n' "$rc"
}

auth_file "public.example.org:$port" >"$work/public.json"
challenge "http://tokens.example.org:$port/token"
assert_eq "$(tried r.example.org)" 0 "a token server of the same site"
(($(requests .auth.basic) > 0)) || fail "it had no password"

challenge "http://tokens.example.net:$port/token"
assert_eq "$(tried r.example.org)" 32 "a token server of another site"
assert_eq "$(requests .auth.basic)" 0 "passwords for a token server of another site"
(($(requests .auth.token_requests) > 0)) || fail "it was not even asked without one"
assert_contains "$(<"$work/stderr")" "option realm=tokens.example.net:$port" "the way out"
assert_eq "$(tried r.example.org "realm=tokens.example.net:$port")" 0 "realm="
(($(requests .auth.basic) > 0)) || fail "realm= sends no password"

# A registry in the world: neither it nor its token server sends us inside, by whatever name.
challenge "http://public-tokens.example.org:$port/token"
assert_eq "$(tried public.example.org)" 0 "a token server in the world"
for realm in "http://inner.example.org:$port/token" "http://127.0.0.1:$port/token"; do
	challenge "$realm"
	assert_eq "$(tried public.example.org)" 32 "$realm"
	assert_eq "$(requests .auth.token_requests)" 0 "requests for tokens to $realm"
	assert_contains "$(<"$work/stderr")" "internal address" "$realm"
done
rules "[{\"match\": {\"path\": \"^/v2/\", \"auth\": false}, \"do\": {\"status\": 401,
	\"www_authenticate\": \"Bearer realm=\\\"http://public-tokens.example.org:$port/token\\\"\"}},
	{\"match\": {\"path\": \"^/token\"}, \"do\": {\"redirect\": \"http://inner.example.org:$port/inside\"}}]"
reset_requests
assert_eq "$(tried public.example.org)" 32 "a token server that redirects inside"
assert_contains "$(<"$work/stderr")" "internal address" "a redirect inside"
assert_eq "$(requests '.paths["/inside"].requests // 0')" 0 "requests inside"

# ---- a registry that sends its readers inside ---------------------------------------------------

rules "[{\"match\": {\"path\": \"^/v2/\", \"auth\": false}, \"do\": {\"status\": 401,
	\"www_authenticate\": \"Bearer realm=\\\"http://public-tokens.example.org:$port/token\\\"\"}},
	{\"match\": {\"path\": \"/blobs/\"}, \"do\": {\"redirect\": \"http://inner.example.org:$port/inside\"}}]"
reset_requests
mount_imgfs "docker://public.example.org:$port/app" "$work/inside" \
	"cache_dir=$cache.4,tls_verify=no,authfile=$work/public.json"
assert_fails "Input/output error" ls "$work/inside/1.0/linux_amd64/"
assert_contains "$(<"$work/inside/.imgfs/log")" "internal address" "what the log says"
assert_eq "$(requests '.paths["/inside"].requests // 0')" 0 "requests inside"
(($(counter "$work/inside" .net_redirect) > 0)) || fail "the redirect was not counted"
unmount "$work/inside"

# ---- client certificates ----------------------------------------------------------------------

certificate() { # NAME: NAME.crt and NAME.key
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
		-addext subjectAltName=IP:127.0.0.1 -out "$work/$1.crt" -keyout "$work/$1.key" 2>"$work/openssl.log" ||
		fail "openssl: $(<"$work/openssl.log")"
}
certificate server
certificate client
mkdir "$work/certs"
cp "$work/server.crt" "$work/certs/ca.crt"
cp "$work/client.crt" "$work/certs/client.cert"
cp "$work/client.key" "$work/certs/client.key"
python3 - "$work" <<'END' &
import http.server, json, os, ssl, sys, threading
work = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(work + "/peers", "a") as log:
            print(self.server.name, "certificate" if self.connection.getpeercert() else "none", file=log)
        wants_token = self.server is registry and "Authorization" not in self.headers
        body = json.dumps({"token": "t", "name": "app", "tags": []}).encode()
        self.send_response(401 if wants_token else 200)
        if wants_token:
            self.send_header("WWW-Authenticate", 'Bearer realm="https://127.0.0.1:%d/token"'
                             % tokens.server_address[1])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
def serve(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work + "/server.crt", work + "/server.key")
    context.load_verify_locations(work + "/client.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.name = name
    return server
registry, tokens = serve("registry"), serve("tokens")
threading.Thread(target=tokens.serve_forever, daemon=True).start()
with open(work + "/tls-port.new", "w") as file:
    print(registry.server_address[1], file=file)
os.rename(work + "/tls-port.new", work + "/tls-port")
registry.serve_forever()
END
at_exit end_process $!
poll 20 test -s "$work/tls-port" || fail "no TLS servers"
mkdir "$work/tls"
mount_imgfs "docker://127.0.0.1:$(<"$work/tls-port")/app" "$work/tls" "cert_dir=$work/certs,authfile=$work/auth.json"
ls "$work/tls" >"$work/stdout"
assert_eq "$(sort -u "$work/peers" | paste -s -d ,)" "registry certificate,tokens none" "client certificates"
