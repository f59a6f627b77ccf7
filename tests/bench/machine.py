# SPDX-License-Identifier: Apache-2.0
"""machine -- what is installed and built before anything is measured, and what it runs on."""
import os
import re
import subprocess
import sys
import tempfile

from measure import for_a_peer, run, text_of

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = ("gcc g++ libc6-dev meson ninja-build pkgconf libfuse3-dev libcurl4-openssl-dev libjson-c-dev "
         "zlib1g-dev libisal-dev libzstd-dev liblzma-dev libbz2-dev libssl-dev libpsl-dev "
         "libtomlplusplus-dev uthash-dev scdoc fuse3").split()
PEERS = ("squashfuse squashfs-tools erofs-utils archivemount umoci skopeo isal gzip docker-registry debootstrap "
         "curl diffutils python3-indexed-gzip").split()
# To build erofsfuse, which erofs-utils is packaged without, and stargz-store, packaged as a library.
PEERS_BUILD = ("libfuse-dev liblz4-dev autoconf automake libtool make golang-go "
               "golang-github-containerd-stargz-snapshotter-dev").split()
LIBRARIES = "libisal2 libzstd1 zlib1g libfuse3-3".split()


def codename():
    with open("/etc/os-release") as release:
        return re.search(r"VERSION_CODENAME=(\S+)", release.read())[1]


def mirror():
    """Where apt gets this release from."""
    return text_of(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                    f"Codename: {codename()}"]).splitlines()[0]


def is_installed(package):
    state = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
                           capture_output=True, text=True, check=False).stdout
    return state == "installed"


def install_all():
    for packages in (BUILD, PEERS, PEERS_BUILD):
        if failed := install([package for package in packages if not is_installed(package)]):
            print(failed, file=sys.stderr)


@for_a_peer
def install(packages):
    if packages:
        print("packages:", *packages, file=sys.stderr, flush=True)
        run(["apt-get", "-qq", "update"])
        run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *packages],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def build_imgfs(name, *options):
    """A release build of this repository; returns the program."""
    directory = f"{REPOSITORY}/{name}"
    if not os.path.exists(f"{directory}/build.ninja"):
        run(["meson", "setup", directory, REPOSITORY, "--buildtype=release", "-Dtests=false", *options])
    run(["ninja", "-C", directory])
    return f"{directory}/fs/imgfs"


@for_a_peer
def build_erofsfuse(program):
    """From Debian's source package."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(program)) as scratch:
        os.makedirs(f"{scratch}/lists/partial")
        with open(f"{scratch}/sources.list", "w") as out:
            out.write(f"deb-src {mirror()} {codename()} main\n")
        apt = ["apt-get", "-qq", "-o", f"Dir::Etc::SourceList={scratch}/sources.list",
               "-o", "Dir::Etc::SourceParts=-", "-o", f"Dir::State::Lists={scratch}/lists",
               "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
               "-o", "APT::Sandbox::User=root"]
        run([*apt, "update"])
        run([*apt, "--download-only", "source", "erofs-utils"], cwd=scratch)
        run(["sh", "-ec", "tar xf *.orig.tar.*; cd erofs-utils-*/; autoreconf -fi; "
             "./configure --enable-fuse --disable-lzma CFLAGS=-O2; make; cp fuse/erofsfuse \"$0\"", program],
            cwd=scratch)
    return program


@for_a_peer
def build_stargz(program):
    """From Debian's packages of Go libraries."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stargz.go")
    with tempfile.TemporaryDirectory(dir=os.path.dirname(program)) as scratch:
        run(["go", "build", "-o", program, source],
            env={**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": scratch})
    return program


@for_a_peer
def build_verify(program):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verify.c")
    run(["cc", "-O2", "-o", program, source, "-lisal", "-lcrypto"])
    return program


def description(data, rounds):
    """Markdown: the machine, and the versions of what was compared."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*:\s*(.*)", cpuinfo.read())
    with open("/proc/meminfo") as meminfo:
        memory = int(re.search(r"MemTotal:\s*(\d+)", meminfo.read())[1]) / 1024 ** 2
    with open("/etc/os-release") as release:
        system = re.search(r'PRETTY_NAME="(.*)"', release.read())[1]
    compared = [*PEERS, *LIBRARIES, "golang-github-containerd-stargz-snapshotter-dev"]
    versions = text_of(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *filter(is_installed, compared)])
    commit = text_of(["git", "-c", f"safe.directory={REPOSITORY}", "-C", REPOSITORY, "describe", "--always"])
    return "\n".join([
        f"- {model[1] if model else os.uname().machine}, {os.cpu_count()} cores, {memory:.0f} GiB of memory; "
        f"Linux {os.uname().release}; {system}",
        f"- data on {text_of(['stat', '-f', '-c', '%T', data.path])}; scale `{data.scale}`; rounds: {rounds}",
        f"- imgfs at commit `{commit}`",
        f"- {versions.strip(', ')}",
    ])
