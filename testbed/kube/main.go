// The whole of Kubernetes as one program: the name it is called by, or its first argument, says which part it is.
//
// One program instead of eight shares 100 MB of the same code, so it is linked once, cached once and mapped once.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// ownName is the program's file name; the parts are links to it.
const ownName = "kube"

func main() {
	part := filepath.Base(os.Args[0])
	if part == ownName {
		if len(os.Args) < 2 {
			fmt.Fprintln(os.Stderr, "usage: kube PART [flags], PART one of etcd, kube-apiserver, "+
				"kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl, provisioner")
			os.Exit(2)
		}
		part, os.Args = os.Args[1], os.Args[1:]
	}
	command := commandOf(part)
	if command == nil {
		fmt.Fprintf(os.Stderr, "kube: no part is called %q\n", part)
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}

func commandOf(part string) *cobra.Command {
	switch part {
	case "etcd":
		return etcdCommand()
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		return kubeproxy.NewProxyCommand()
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	case "provisioner":
		return provisionerCommand()
	}
	return nil
}
