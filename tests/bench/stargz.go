// SPDX-License-Identifier: Apache-2.0

// stargz -- the lazy-pulling peer, out of Debian's library packages.
//
//	stargz convert LAYER.tar.gz OUT    writes the layer as eStargz; prints the digests of its
//	                                   table of contents and of its tar
//	stargz store ROOT DIR              what the program stargz-store does: images below DIR
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/containerd/containerd/reference"
	"github.com/containerd/containerd/remotes/docker"
	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/fs/config"
	"github.com/containerd/stargz-snapshotter/metadata/memory"
	"github.com/containerd/stargz-snapshotter/store"
)

func convert(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	blob, err := estargz.Build(io.NewSectionReader(in, 0, info.Size()), estargz.WithCompressionLevel(6))
	if err != nil {
		return err
	}
	defer blob.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, blob); err != nil {
		return err
	}
	fmt.Println(blob.TOCDigest(), blob.DiffID())
	return out.Close()
}

func hosts(spec reference.Spec) ([]docker.RegistryHost, error) {
	configure := docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithClient(&http.Client{Transport: http.DefaultTransport}))
	return configure(spec.Hostname())
}

func serve(root, directory string) error {
	manager, err := store.NewLayerManager(context.Background(), root, hosts, memory.NewReader,
		config.Config{NoPrometheus: true, NoBackgroundFetch: true})
	if err != nil {
		return err
	}
	if err = store.Mount(context.Background(), directory, manager, false); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	return syscall.Unmount(directory, syscall.MNT_DETACH)
}

func main() {
	commands := map[string]func(string, string) error{"convert": convert, "store": serve}
	if len(os.Args) != 4 || commands[os.Args[1]] == nil {
		log.Fatal("usage: stargz convert LAYER OUT | stargz store ROOT DIR")
	}
	if err := commands[os.Args[1]](os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}
