// demo-app is the application of the demo's platform: a backend with a database, or a frontend of one.
//
//	DATABASE_URL  a PostgreSQL address: one session is kept open, /api/items reads the table `items`
//	BACKEND_URL   the address of another demo-app: /api/items is asked there
//	LISTEN        where to listen, default :8080
//
// The version, which is the image's tag, says how it behaves: `broken` never gets ready; `writes` writes one row into the
// table `app_events (source, message)` before it gets ready; every other one just works.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker.
var version = "dev"

const (
	versionBroken = "broken"
	versionWrites = "writes"
	// requestTimeout is shorter than a probe's period times its failures, so a hanging database shows as not ready.
	requestTimeout = 2 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("stopped", "version", version, "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	app := &app{backend: os.Getenv("BACKEND_URL")}
	if url := os.Getenv("DATABASE_URL"); url != "" {
		app.database = &session{url: url}
		defer app.database.close()
		go app.database.keepOpen(ctx)
	}
	server := &http.Server{Addr: cmp.Or(os.Getenv("LISTEN"), ":8080"), Handler: app.routes()}
	go func() {
		<-ctx.Done()
		// Open requests are cut: the demo counts the seconds until the pod is gone.
		_ = server.Close()
	}()
	slog.Info("listening", "version", version, "address", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// app answers requests; its database and its backend are optional.
type app struct {
	database *session
	backend  string
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, version) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /api/items", a.items)
	return mux
}

func (a *app) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case version == versionBroken:
		http.Error(w, "this version never gets ready", http.StatusServiceUnavailable)
	case a.database != nil && !a.database.isOpen():
		http.Error(w, "no database session", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}

func (a *app) items(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	items, err := a.readItems(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{"version": version, "items": items}); err != nil {
		slog.Warn("answer not sent", "error", err)
	}
}

func (a *app) readItems(ctx context.Context) (json.RawMessage, error) {
	switch {
	case a.database != nil:
		return a.database.items(ctx)
	case a.backend != "":
		return fetch(ctx, a.backend+"/api/items")
	default:
		return json.RawMessage("[]"), nil
	}
}

func fetch(ctx context.Context, url string) (json.RawMessage, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
