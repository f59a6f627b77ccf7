#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rootfs and platform=, with every kind of SOURCE: one image is found where there is no other, and
# otherwise has to be named.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo python3

forms=$(generations)
name=localhost/team/app
mkdir "$work/mnt" "$work/engine"
mount_imgfs "oci:$forms/oci" "$work/reference"

# Without a name, too: there is only one image in each.
for source in "oci:$forms/oci" "$forms/oci" "oci:$forms/oci:1.0" "dir:$forms/schema2" \
	"dir:$forms/schema1" "docker-archive:$forms/docker-archive.tar" "$forms/docker-archive.tar" \
	"docker-archive:$forms/docker-archive.tar:$name:1.0" "docker-archive:$forms/docker-1.10.tar" \
	"oci-archive:$forms/oci-archive.tar" "$forms/docker-25.tar" "$forms/v1" "$forms/v1.tar"; do
	mount_imgfs "$source" "$work/mnt" rootfs
	same_trees "$work/reference/1.0/linux_amd64/rootfs" "$work/mnt"
	unmount "$work/mnt"
done

# One platform takes the level of platforms away.
for source in "oci:$forms/oci:1.0" "dir:$forms/schema1" \
	"docker-archive:$forms/docker-archive.tar:$name:1.0" "docker-archive:$forms/v1:$name:1.0"; do
	mount_imgfs "$source" "$work/mnt" platform=linux/amd64
	assert_eq "$(names "$work/mnt")" \
		"config.json digest docker history.txt layers manifest.json oci rootfs" "$source"
	unmount "$work/mnt"
done

# refused CODE MESSAGE SOURCE [OPTIONS]
refused() {
	assert_eq "$(exit_code "$IMGFS" "$3" "$work/mnt" -o "cache_dir=$cache,${4:-rootfs}")" "$1" \
		"exit code for $3: $(<"$work/stderr")"
	assert_contains "$(<"$work/stderr")" "$2" "message for $3"
	! mountpoint -q "$work/mnt" || fail "$3 is mounted"
}

# Two names of one image are one image; two images are not.
cp -r "$forms/oci" "$work/two"
python - "$work/two" <<'END'
import json, sys
path = sys.argv[1] + "/index.json"
index = json.load(open(path))
again = json.loads(json.dumps(index["manifests"][0]))
again["annotations"]["org.opencontainers.image.ref.name"] = "again"
index["manifests"].append(again)
json.dump(index, open(path, "w"))
END
mount_imgfs "oci:$work/two" "$work/mnt" rootfs
same_trees "$work/reference/1.0/linux_amd64/rootfs" "$work/mnt"
unmount "$work/mnt"
refused 32 "needs one image" "oci:$(demo_layout)"
refused 1 "the name of an image is missing" "oci:$forms/oci:"
refused 1 "the name of an image is missing" "$forms/oci" ref=

# Docker writes short names, skopeo and podman full ones: either is understood.
skopeo copy -q "oci:$forms/oci:1.0" "docker-archive:$work/full.tar:team/app:1.0"
assert_contains "$(tar -xOf "$work/full.tar" manifest.json)" docker.io/team/app "how skopeo writes it"
mount_imgfs "docker-archive:$work/full.tar:team/app:1.0" "$work/mnt" rootfs
same_trees "$work/reference/1.0/linux_amd64/rootfs" "$work/mnt"
unmount "$work/mnt"
refused 32 "no repository 'team/none'" "docker-archive:$work/full.tar:team/none:1.0"

# An engine's repository is no image, and an engine that is away no reason to refuse with nocheck.
python3 "$tests/fakeengine.py" "$work/engine" 2 >"$work/engine.log" 2>&1 </dev/null &
at_exit end_process "$!"
export DOCKER_HOST=unix://$work/engine/socket
poll 20 test -S "$work/engine/socket" || fail "no engine: $(<"$work/engine.log")"
refused 1 "needs one image" docker-daemon:
refused 1 "needs one image" docker-daemon:demo/1
refused 1 "needs one image" docker-daemon:localhost:5000/demo
refused 32 "no image is called" docker-daemon:demo/1:2.0
mount_imgfs docker-daemon:demo/1:1.0 "$work/mnt" rootfs
[[ -n $(names "$work/mnt") ]] || fail "nothing in an engine's image"
unmount "$work/mnt"
export DOCKER_HOST=unix://$work/engine/none
refused 32 "hint: start docker" docker-daemon:demo/1:1.0 ttl=1s
mount_imgfs docker-daemon:demo/1:1.0 "$work/mnt" nocheck
assert_fails "No route to host" ls "$work/mnt"
assert_contains "$(<"$work/mnt/.imgfs/log")" "; hint: start docker" "a hint in the log"
unmount "$work/mnt"

# What holds no image is none, whatever it is called.
tar -cf "$work/other.tar" -C "$forms" oci/oci-layout
refused 32 "holds no image" "docker-archive:$work/other.tar" ttl=1s
refused 32 "holds no image" "docker-archive:$forms/oci" ttl=1s
refused 32 "not an image" "$work/other.tar" ttl=1s

# Nor is there a mount for a platform that the image is not for.
demo=$(demo_layout)
refused 32 "no image for platform linux/s390x" "oci:$demo:1.0" platform=linux/s390x
refused 32 "hint: there is linux/amd64, linux/arm64, linux/arm/v7" "oci:$demo:1.0" \
	platform=linux/s390x,rootfs
refused 32 "no image for platform linux/arm64" "dir:$forms/schema1" platform=linux/arm64
mount_imgfs "oci:$demo:1.0" "$work/mnt" platform=linux/s390x,nocheck
assert_fails "Stale file handle" ls "$work/mnt/"
unmount "$work/mnt"
