// etcd as a part of the multi-call program, through its own `embed` package: one member, no peers.
package main

import (
	"context"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

func etcdCommand() *cobra.Command {
	var folder, client, peer string
	command := &cobra.Command{
		Use:          "etcd",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return runEtcd(command.Context(), folder, client, peer)
		},
	}
	command.Flags().StringVar(&folder, "data-dir", "", "folder of the database")
	command.Flags().StringVar(&client, "client", "http://127.0.0.1:2379", "address for clients")
	command.Flags().StringVar(&peer, "peer", "http://127.0.0.1:2380", "address for other members (there are none)")
	return command
}

func runEtcd(ctx context.Context, folder, client, peer string) error {
	clientURL, err := url.Parse(client)
	if err != nil {
		return err
	}
	peerURL, err := url.Parse(peer)
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = folder
	config.LogLevel = "warn"
	// Unset means zero: every request would be reported as slow.
	config.WarningUnaryRequestDuration = time.Second
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	// The database is on a tmpfs and dies with the cluster: syncing it would only cost time.
	config.UnsafeNoFsync = true

	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Err():
		return err
	}
}
