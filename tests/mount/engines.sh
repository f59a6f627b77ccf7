#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real engines run an image that nobody pulled, straight from a registry's mount, and what they save and
# hold is seen in return: Docker, Podman, containerd.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo dockerd docker podman runc containerd ctr bsdtar curl jq

forms=$(generations)
name=localhost/team/app
tagged=$name/_tags/1.0/linux_amd64
hello=(/bin/sh -c 'cat /etc/stamp && test ! -e /etc/motd')
said="in this layer, which comes twice"

start_registry
push "$forms/oci" 1.0 team/app:1.0
mount_imgfs "docker://$registry/team/app:1.0" "$work/mnt"
image=$work/mnt/linux_amd64
[[ $(stat -c %s "$image/docker.tar") -gt 0 && $(stat -c %s "$image/oci.tar") -gt 0 ]] ||
	fail "no archives"
bsdtar -tf "$image/docker.tar" >"$work/stdout" || fail "bsdtar does not read docker.tar"
bsdtar -tf "$image/oci.tar" >"$work/stdout" || fail "bsdtar does not read oci.tar"

# loaded TEXT: the name, or else the id, in what "load" says.
loaded() { sed -nE 's/^Loaded image(\(s\)| ID)?: *//p' <<<"$1" | head -n 1; }

same_rootfs() { # SOURCE PLACE
	local mnt
	mnt=$(mktemp -d "$work/back.XXXXXX")
	mount_imgfs "$1" "$mnt"
	same_trees "$image/rootfs" "$mnt/$2/rootfs"
}

# check_engine ENGINE SOCKET COMMAND...: an engine with Docker's command line and its API on SOCKET.
check_engine() {
	local engine=$1 socket=$2 text mnt=$work/daemon-$1
	shift 2
	text=$("$@" load -i "$image/docker.tar") || fail "$engine load"
	"$@" tag "$(loaded "$text")" "$name:1.0" || fail "$engine: not loaded: $text"
	assert_eq "$("$@" run --rm --network none "${run_options[@]}" "$name:1.0" "${hello[@]}")" \
		"$said" "$engine run"
	# The config, and so the image's id, is the registry's.
	assert_eq "$("$@" image inspect -f '{{.Id}}' "$name:1.0" | sed 's/^sha256://')" \
		"$(config_digest "$image/docker" | cut -d : -f 2)" "id in $engine"

	"$@" save -o "$work/$engine.tar" "$name:1.0"
	same_rootfs "docker-archive:$work/$engine.tar" "$tagged"
	DOCKER_HOST=unix://$socket mount_imgfs docker-daemon: "$mnt"
	assert_contains " $(names "$mnt/$name/_tags") " " 1.0 " "tags of $engine"
	same_trees "$image/rootfs" "$mnt/$tagged/rootfs"
	DOCKER_HOST=unix://$socket mount_imgfs "docker-daemon:$name:1.0" "$mnt-image"
	same_trees "$image/rootfs" "$mnt-image/linux_amd64/rootfs"
}

# ---- Docker -----------------------------------------------------------------------------------

engine_directory=$work/docker
mkdir "$engine_directory"
dockerd --iptables=false --bridge=none --storage-driver vfs --data-root "$engine_directory/data" \
	--exec-root "$engine_directory/exec" -p "$engine_directory/pid" \
	-H "unix://$engine_directory/socket" >"$work/dockerd.log" 2>&1 </dev/null &
at_exit end_process $!
docker=(docker -H "unix://$engine_directory/socket")
docker_runs() { "${docker[@]}" info >"$work/answer" 2>&1; }
poll 30 docker_runs || fail "dockerd: $(tail -n 3 "$work/dockerd.log")"

run_options=()
check_engine docker "$engine_directory/socket" "${docker[@]}"

# What Docker makes of the old forms is what we make of them: the same config, to the byte.
id_of() { "${docker[@]}" image inspect -f '{{.Id}}' "$1"; }
for form in docker-1.10 docker-25 v1; do
	"${docker[@]}" rmi -f "$name:1.0" >"$work/stdout"
	"${docker[@]}" load -i "$forms/$form.tar" >"$work/stdout" || fail "docker load of $form.tar"
	mount_imgfs "docker-archive:$forms/$form.tar" "$work/$form"
	assert_eq "$(config_digest "$work/$form/$tagged/docker")" "$(id_of "$name:1.0")" "id of $form"
	"${docker[@]}" load -i "$work/$form/$tagged/docker.tar" >"$work/stdout" ||
		fail "docker load of our docker.tar of $form"
done
push "$forms/oci" 1.0 team/app:schema1 --format v2s1
"${docker[@]}" pull -q "$registry/team/app:schema1" >"$work/stdout" 2>&1 ||
	fail "docker pull of schema 1: $(tail -n 2 "$work/stdout")"
mount_imgfs "docker://$registry/team/app:schema1" "$work/schema1"
assert_eq "$(config_digest "$work/schema1/docker")" "$(id_of "$registry/team/app:schema1")" \
	"id of schema 1"

# ---- Podman -----------------------------------------------------------------------------------

engine_directory=$work/podman
mkdir "$engine_directory"
podman=(podman --root "$engine_directory/root" --runroot "$engine_directory/run"
	--tmpdir "$engine_directory/tmp" --storage-driver vfs --cgroup-manager cgroupfs
	--events-backend none --runtime "$(command -v runc)")
"${podman[@]}" system service -t 0 "unix://$engine_directory/socket" >"$work/podman.log" 2>&1 \
	</dev/null &
at_exit end_process $!
podman_runs() {
	curl -sf --unix-socket "$engine_directory/socket" -o "$work/answer" http://podman/_ping
}
poll 20 podman_runs || fail "podman: $(tail -n 3 "$work/podman.log")"
# Its own limits are more than who lacks CAP_SYS_RESOURCE may ask for.
run_options=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
check_engine podman "$engine_directory/socket" "${podman[@]}"
"${podman[@]}" load -i "$image/oci.tar" >"$work/stdout" || fail "podman load of oci.tar"

# ---- containerd -------------------------------------------------------------------------------

engine_directory=$work/containerd
mkdir "$engine_directory"
cat >"$engine_directory/config.toml" <<-END
	version = 2
	root = "$engine_directory/root"
	state = "$engine_directory/state"
	disabled_plugins = ["io.containerd.grpc.v1.cri"]
	[grpc]
	  address = "$engine_directory/socket"
	END
containerd -c "$engine_directory/config.toml" >"$work/containerd.log" 2>&1 </dev/null &
at_exit end_process $!
ctr=(ctr -a "$engine_directory/socket")
containerd_runs() { "${ctr[@]}" version >"$work/answer" 2>&1; }
poll 20 containerd_runs || fail "containerd: $(tail -n 3 "$work/containerd.log")"

"${ctr[@]}" images import --snapshotter native --base-name "$name" "$image/oci.tar" \
	>"$work/stdout" 2>&1 || fail "ctr images import: $(tail -n 2 "$work/stdout")"
reference=$("${ctr[@]}" images ls -q)
assert_eq "$(wc -l <<<"$reference")" 1 "images that containerd imported: $reference"
assert_eq "$("${ctr[@]}" run --rm --snapshotter native "$reference" hello "${hello[@]}")" "$said" \
	"ctr run"
assert_eq "$("${ctr[@]}" images ls | awk 'NR == 2 { print $3 }')" "$(<"$work/mnt/digest")" \
	"digest in containerd"
"${ctr[@]}" images export "$work/containerd.tar" "$reference"
mount_imgfs "oci-archive:$work/containerd.tar" "$work/exported"
exported=$(find "$work/exported" -maxdepth 6 -type d -name linux_amd64 -prune)
assert_eq "$(wc -l <<<"$exported")" 1 "images that containerd exported: $exported"
same_trees "$image/rootfs" "$exported/rootfs"
