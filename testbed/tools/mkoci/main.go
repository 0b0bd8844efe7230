// mkoci writes an image of one layer as an OCI archive, without a registry, a daemon or root.
//
// The layer is either one program (`-program`, put at `/NAME`) or a tar file with a whole file system (`-root`). Layers
// are not compressed: the archive is imported on the same machine, where unpacking would cost more than the disk does.
// Times are zero, so the same inputs give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	epoch        = "1970-01-01T00:00:00Z"
	defaultPath  = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
)

type image struct {
	reference, program, root, user, command, output string
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func main() {
	var i image
	flag.StringVar(&i.reference, "reference", "", "name of the image, such as localhost/pause:1")
	flag.StringVar(&i.program, "program", "", "static program to put into the image and to start")
	flag.StringVar(&i.root, "root", "", "tar file with the image's whole file system")
	flag.StringVar(&i.user, "user", "", "user the program runs as")
	flag.StringVar(&i.command, "command", "", "command of an image made from -root")
	flag.StringVar(&i.output, "output", "", "archive to write")
	flag.Parse()
	if err := i.write(); err != nil {
		fmt.Fprintln(os.Stderr, "mkoci:", err)
		os.Exit(1)
	}
}

func (i image) write() error {
	if i.reference == "" || i.output == "" || (i.program == "") == (i.root == "") {
		return errors.New("needs -reference, -output and one of -program and -root")
	}
	layer, err := i.layer()
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"created": epoch, "architecture": runtime.GOARCH, "os": "linux",
		"config":  i.runtimeConfig(),
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
		"history": []map[string]string{{"created": epoch, "created_by": "mkoci"}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": describe(typeConfig, config, nil),
		"layers": []descriptor{describe(typeLayer, layer, nil)},
	})
	if err != nil {
		return err
	}
	_, tag, _ := strings.Cut(filepath.Base(i.reference), ":")
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"manifests": []descriptor{describe(typeManifest, manifest, map[string]string{
			// containerd takes the whole name from the first, buildah the tag from the second.
			"io.containerd.image.name":          i.reference,
			"org.opencontainers.image.ref.name": tag,
		})},
	})
	if err != nil {
		return err
	}
	return writeArchive(i.output, index, config, manifest, layer)
}

func (i image) runtimeConfig() map[string]any {
	config := map[string]any{"Env": []string{defaultPath}}
	if i.program != "" {
		config["Entrypoint"] = []string{"/" + filepath.Base(i.program)}
	}
	if i.command != "" {
		config["Cmd"] = strings.Fields(i.command)
	}
	if i.user != "" {
		config["User"] = i.user
	}
	return config
}

func (i image) layer() ([]byte, error) {
	if i.root != "" {
		return os.ReadFile(i.root)
	}
	program, err := os.ReadFile(i.program)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := addFile(w, filepath.Base(i.program), program, 0o755); err != nil {
		return nil, err
	}
	// Programs that write a temporary file find a place for it.
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return nil, err
	}
	return layer.Bytes(), w.Close()
}

func writeArchive(path string, index []byte, blobs ...[]byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := tar.NewWriter(file)
	if err := addFile(w, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	if err := addFile(w, "index.json", index, 0o644); err != nil {
		return err
	}
	for _, blob := range blobs {
		name := "blobs/sha256/" + strings.TrimPrefix(digest(blob), "sha256:")
		if err := addFile(w, name, blob, 0o644); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}

func addFile(w *tar.Writer, name string, content []byte, mode int64) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: mode}); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(content))
	return err
}

func describe(mediaType string, content []byte, annotations map[string]string) descriptor {
	return descriptor{MediaType: mediaType, Digest: digest(content), Size: len(content), Annotations: annotations}
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }
