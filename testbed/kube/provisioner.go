// Dynamic volumes for the testbed: a folder of the node for every claim, gone with its volume.
//
// Kubernetes' core binds and mounts volumes but makes none. This watches claims and volumes of its classes and makes
// `hostPath` volumes. A class with `parameters: {bounded: "true"}` gets a tmpfs of the claim's size, so that a full
// volume can be met in a test; the others are plain folders without a limit.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	provisionerName = "whimbrel.dev/testbed"
	// madeBy marks the volumes that are ours to delete; kubectl and the volume controller know it too.
	madeBy = "pv.kubernetes.io/provisioned-by"
	// wantedFrom is set by the volume controller on a claim that waits for a provisioner.
	wantedFrom = "volume.kubernetes.io/storage-provisioner"
	// chosenNode is set by the scheduler once a pod that uses the claim has a node.
	chosenNode = "volume.kubernetes.io/selected-node"
	// resync repeats what failed for a reason no watch reports, such as a full disk.
	resync = 30 * time.Second
)

// Provisioner makes the folders and the volumes that point at them.
type Provisioner struct {
	client kubernetes.Interface
	// folder holds one folder per volume, named as the volume.
	folder  string
	claims  cache.Indexer
	volumes cache.Indexer
	queue   workqueue.TypedRateLimitingInterface[key]
}

// key names a claim ("namespace/name") or a volume.
type key struct {
	volume bool
	name   string
}

func provisionerCommand() *cobra.Command {
	var kubeconfig, folder string
	command := &cobra.Command{
		Use:          "provisioner",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return runProvisioner(ctx, client, folder)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "file that says how to reach the cluster")
	command.Flags().StringVar(&folder, "folder", "", "folder of the node that holds the volumes")
	return command
}

func runProvisioner(ctx context.Context, client kubernetes.Interface, folder string) error {
	factory := informers.NewSharedInformerFactory(client, resync)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	volumes := factory.Core().V1().PersistentVolumes().Informer()
	p := &Provisioner{
		client:  client,
		folder:  folder,
		claims:  claims.GetIndexer(),
		volumes: volumes.GetIndexer(),
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[key]()),
	}
	for informer, isVolume := range map[cache.SharedIndexInformer]bool{claims: false, volumes: true} {
		enqueue := func(object any) {
			if name, err := cache.MetaNamespaceKeyFunc(object); err == nil {
				p.queue.Add(key{volume: isVolume, name: name})
			}
		}
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    enqueue,
			UpdateFunc: func(_, object any) { enqueue(object) },
		})
		if err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go func() {
		<-ctx.Done()
		p.queue.ShutDown()
	}()
	for p.handleNext(ctx) {
	}
	return nil
}

// handleNext handles one key and puts it back after a failure; false when the queue is closed.
func (p *Provisioner) handleNext(ctx context.Context) bool {
	next, closed := p.queue.Get()
	if closed {
		return false
	}
	defer p.queue.Done(next)
	handle := p.provide
	if next.volume {
		handle = p.reclaim
	}
	if err := handle(ctx, next.name); err != nil {
		klog.ErrorS(err, "will try again", "name", next.name, "volume", next.volume)
		p.queue.AddRateLimited(next)
		return true
	}
	p.queue.Forget(next)
	return true
}

// provide makes a volume for a claim that waits for one of ours.
func (p *Provisioner) provide(ctx context.Context, name string) error {
	object, exists, err := p.claims.GetByKey(name)
	if err != nil || !exists {
		return err
	}
	claim := object.(*core.PersistentVolumeClaim)
	if claim.Spec.VolumeName != "" || claim.Annotations[wantedFrom] != provisionerName || claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := p.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, meta.GetOptions{})
	if err != nil {
		return err
	}
	waitsForPod := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storage.VolumeBindingWaitForFirstConsumer
	if waitsForPod && claim.Annotations[chosenNode] == "" {
		return nil
	}
	volume := p.volumeFor(claim, class)
	if err := makeFolder(volume, class.Parameters["bounded"] == "true"); err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// volumeFor is the volume of a claim; its name follows from the claim's uid, so making it twice makes one.
func (p *Provisioner) volumeFor(claim *core.PersistentVolumeClaim, class *storage.StorageClass) *core.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	kind := core.HostPathDirectory
	policy := core.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{madeBy: provisionerName}},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              class.Name,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: filepath.Join(p.folder, name), Type: &kind},
			},
		},
	}
}

// makeFolder makes the volume's folder, open to every user: `fsGroup` does not apply to `hostPath`.
func makeFolder(volume *core.PersistentVolume, bounded bool) error {
	path := volume.Spec.HostPath.Path
	err := os.Mkdir(path, 0o777)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if bounded {
		size := volume.Spec.Capacity[core.ResourceStorage]
		err := syscall.Mount("testbed", path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0777", size.Value()))
		if err != nil {
			// Else the next try would take the bare folder for the volume.
			return errors.Join(err, os.Remove(path))
		}
		return nil
	}
	// Mkdir's mode passes through the umask; this one does not.
	return os.Chmod(path, 0o777)
}

// reclaim deletes a released volume of ours and its folder.
func (p *Provisioner) reclaim(ctx context.Context, name string) error {
	object, exists, err := p.volumes.GetByKey(name)
	if err != nil || !exists {
		return err
	}
	volume := object.(*core.PersistentVolume)
	if volume.Annotations[madeBy] != provisionerName || volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete {
		return nil
	}
	path := volume.Spec.HostPath.Path
	if filepath.Dir(path) != filepath.Clean(p.folder) {
		return fmt.Errorf("volume %s points at %s, outside of %s: not deleted", name, path, p.folder)
	}
	// EINVAL: nothing is mounted there, the volume was a plain folder.
	if err := syscall.Unmount(path, 0); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	err = p.client.CoreV1().PersistentVolumes().Delete(ctx, name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
