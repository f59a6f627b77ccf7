#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# registries.conf: a pull-through cache and other mirrors serve what they have, and the origin the rest;
# whatever the mirrors do, every byte is right.  skopeo reads the same file, and asks the same hosts.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo jq curl docker-registry

demo=$(demo_layout)
mount_imgfs "oci:$demo" "$work/demo"
truth=$work/demo/1.0/linux_amd64

# origin: the fault registry with team/app; peer: another one.
start_faultregistry "team/app=$demo"
origin=$registry
start_faultregistry "peers/app=$demo"
peer=$registry

at() { fault=http://$1; } # whom rules, requests and reset_requests are about

# pull_through URL: Debian's docker-registry as a cache of that one; sets registry.
pull_through() {
	local port
	port=$(free_port)
	cat >"$work/cache.yml" <<-END
		version: 0.1
		log: {level: error}
		storage: {filesystem: {rootdirectory: $work/pulled}}
		http: {addr: "127.0.0.1:$port"}
		proxy: {remoteurl: "$1"}
	END
	docker-registry serve "$work/cache.yml" >"$work/cache.log" 2>&1 </dev/null &
	registry_pid=$!
	registry=127.0.0.1:$port
	at_exit end_process "$registry_pid"
	poll 20 answers "http://$registry/v2/" || fail "registry: $(tail -n 3 "$work/cache.log")"
}
pull_through "http://$origin"
pulled=$registry

# What follows is asked for by a name that nobody has: the configuration leads to the hosts.
name=registry.invalid
conf=$work/registries.conf
mnt=$work/mnt
log=$work/log

# configure "LOCATION [USE]"...: the mirrors of team/, and what they are for.
configure() {
	local mirror use
	printf '[[registry]]\nprefix = "%s/team"\nlocation = "%s/team"\n' "$name" "$origin"
	for mirror; do
		read -r mirror use <<<"$mirror"
		printf '[[registry.mirror]]\nlocation = "%s"\npull-from-mirror = "%s"\n' "$mirror" "$use"
	done
} >"$conf"

# look: mounts with nothing cached and no counters, and reads all of one image.
look() {
	local each
	for each in "$origin" "$peer"; do
		at "$each"
		reset_requests
	done
	rm -rf "$cache"
	: >"$log"
	mount_imgfs "docker://$name/team/app:1.0" "$mnt" \
		"registries_conf=$conf,log=$log,log_level=info"
	assert_same_file "$mnt/linux_amd64/manifest.json" "$truth/manifest.json"
	"$tests/compare-trees.py" --nanoseconds "$mnt/linux_amd64/rootfs" "$truth/rootfs" >&2 || fail "rootfs"
	cat "$mnt/.imgfs/stats.json" >"$work/stats.json"
	unmount "$mnt"
}
assert_mirrors() { # FAILURES: of the mirrors, as the last mount counted them
	assert_eq "$(json "$work/stats.json" .mirror_failures)" "$1" "mirror_failures"
	(($(json "$work/stats.json" .mirror_requests) > $1)) || fail "mirror_requests"
}

# manifests, blobs HOST: how often it was asked for these.
manifests() {
	at "$1"
	requests '[.paths | to_entries[] | select(.key | contains("/manifests/")) | .value.requests] | add // 0'
}
blobs() {
	at "$1"
	requests '[.paths | to_entries[] | select(.key | contains("/blobs/")) | .value.requests] | add // 0'
}

# ---- a pull-through cache -----------------------------------------------------------------------

configure "$pulled/team"
look
at "$origin"
(($(requests) > 0)) || fail "the cache has fetched nothing"
grep -q "from mirror '$pulled/team/app'" "$log" || fail "the log does not say who gave it"
grep -q "from origin" "$log" && fail "something went past the cache"
# It has everything now, and the origin may be gone.
at "$origin"
rules '[{"do": {"status": 503}}]'
look
at "$origin"
rules '[]'

# ---- peers --------------------------------------------------------------------------------------

# Their namespace is another one; a name of ours that is in none of theirs comes from the origin.
configure "$peer/peers"
look
assert_eq "$(blobs "$origin") $(manifests "$origin")" "0 0" "blobs and manifests of the origin"
assert_mirrors 0
(($(blobs "$peer") > 0)) || fail "the peer gave nothing"
asked=$(
	at "$peer"
	requests '.paths | keys[]' | grep -c '/manifests/1.0'
)
# So does skopeo.
at "$peer"
reset_requests
skopeo --registries-conf "$conf" copy -q --override-arch amd64 --override-os linux --src-tls-verify=false \
	"docker://$name/team/app:1.0" "dir:$work/copied" >&2 || fail "skopeo"
assert_eq "$(requests '.paths | keys[]' | grep -c '/manifests/1.0')" "$asked" "skopeo asks the peer"
assert_eq "$(blobs "$origin")" 0 "skopeo and the origin"

# A peer for digests alone: the tag is the origin's to tell, the rest comes from the peer.
configure "$peer/peers digest-only"
look
assert_eq "$(manifests "$origin")" 1 "the tag"
assert_eq "$(blobs "$origin")" 0 "blobs of the origin"

# ---- mirrors that fail ---------------------------------------------------------------------------

# One that is away, one that lies, one that breaks off: in their order, and each is left alone after that.
gone=127.0.0.1:$(free_port)
configure "$gone/x" "$peer/peers"
look
grep -q "mirror '$gone' is passed over for 60 s" "$log" || fail "the mirror that is away"
assert_eq "$(grep -c 'passed over' "$log")" 1 "lines about the mirror that is away"
assert_eq "$(blobs "$origin")" 0 "the second mirror takes over"
assert_mirrors 1

while read -r what rule; do
	at "$peer"
	rules "$rule"
	look
	at "$peer"
	rules '[]'
	grep -q "mirror '$peer' is passed over" "$log" || fail "$what: not passed over"
	(($(blobs "$origin") > 0)) || fail "$what: the origin was not asked"
	assert_eq "$(grep -c 'passed over' "$log")" 2 "$what: lines"
done <<'END'
wrong-blobs [{"match": {"path": "blobs"}, "do": {"corrupt": {"at": 100, "len": 4}}}]
wrong-manifests [{"match": {"path": "manifests", "method": "GET"}, "do": {"corrupt": {"at": 20, "len": 1}}}]
breaking-off [{"match": {"path": "blobs"}, "do": {"disconnect_after": 50}}]
failing [{"match": {"path": "blobs"}, "do": {"status": 500}}]
busy [{"match": {"path": "blobs"}, "do": {"status": 429, "retry_after": 30}}]
END

# What only the origin has is no failure of the mirror's.
configure "$peer/nobody"
look
grep -q "passed over" "$log" && fail "a mirror that lacks something is passed over"

# ---- other rules ---------------------------------------------------------------------------------

printf '[[registry]]\nlocation = "%s"\nblocked = true\n' "$name" >"$conf"
at "$origin"
reset_requests
assert_eq "$(exit_code "$IMGFS" "docker://$name/team/app" "$mnt" -o "registries_conf=$conf")" 32 "blocked"
assert_contains "$(<"$work/stderr")" "blocked by '$conf'" "blocked"
assert_eq "$(requests)" 0 "requests of a blocked registry"

# Blocked is blocked, whatever was cached.
printf '[[registry]]\nlocation = "%s"\n' "$origin" >"$conf"
mount_imgfs "docker://$origin/team/app:1.0" "$mnt" "registries_conf=$conf"
cat "$mnt/linux_amd64/rootfs/etc/os-release" >"$work/stdout"
unmount "$mnt"
printf '[[registry]]\nlocation = "%s"\nblocked = true\n' "$origin" >"$conf"
mount_imgfs "docker://$origin/team/app:1.0" "$mnt" "registries_conf=$conf,nocheck"
assert_fails "Permission denied" ls "$mnt/linux_amd64"
unmount "$mnt"

# A registry under another name, and below another namespace.
printf '[[registry]]\nprefix = "%s"\nlocation = "%s/team"\n' "$name" "$origin" >"$conf"
mount_imgfs "docker://$name/" "$mnt" "registries_conf=$conf"
assert_eq "$(names "$mnt")" app "the catalog of a namespace"
assert_same_file "$mnt/app/_tags/1.0/linux_amd64/manifest.json" "$truth/manifest.json"
unmount "$mnt"

# The environment's, and the usual place; a file that is wrong is an error, with its line.
mkdir -p "$work/home/.config/containers/registries.conf.d"
printf '[[registry]]\nlocation = "%s"\nblocked = true\n' "$name" \
	>"$work/home/.config/containers/registries.conf.d/50-mine.conf"
assert_eq "$(HOME=$work/home exit_code "$IMGFS" "docker://$name/team/app" "$mnt")" 32 "a drop-in"
assert_contains "$(<"$work/stderr")" "50-mine.conf" "a drop-in"
printf '[[registry]]\nprefix = "%s/team"\nlocation = "%s/team"\n' "$name" "$origin" >"$conf"
mkdir -p "$mnt"
HOME=$work/home CONTAINERS_REGISTRIES_CONF=$conf "$IMGFS" "docker://$name/team/app" "$mnt" \
	-o "cache_dir=$cache" </dev/null >"$work/mount.log" 2>&1 || fail "$(<"$work/mount.log")"
daemons[$mnt]=$(<"$mnt/.imgfs/pid")
at_exit unmount_quietly "$mnt"
assert_same_file "$mnt/1.0/linux_amd64/manifest.json" "$truth/manifest.json"
unmount "$mnt"
printf '[[registry]]\nlocation =\n' >"$conf"
assert_eq "$(exit_code "$IMGFS" "docker://$name/team/app" "$mnt" -o "registries_conf=$conf")" 32 "malformed"
assert_contains "$(<"$work/stderr")" "'$conf': line 2" "malformed"
assert_eq "$(exit_code "$IMGFS" "docker://$name/team/app" "$mnt" -o "registries_conf=$work/none")" 32 "missing"
