// The one database session of the application, opened again when it is lost, as applications do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// beat is how often the session is looked at, and so the longest a lost one goes unnoticed.
const beat = time.Second

var errNoSession = errors.New("no database session")

// session is a connection that several requests use one after the other.
type session struct {
	url string

	mutex      sync.Mutex
	connection *pgx.Conn
	// announced is set after the row of `writes`: one per start of the program, not one per connection.
	announced bool
}

// keepOpen opens the session, and again when it is lost, until the context ends.
func (s *session) keepOpen(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		if err := s.check(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("no database session", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// check proves the session by a query, or opens one.
func (s *session) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.connection != nil {
		err := s.connection.Ping(ctx)
		if err == nil {
			return nil
		}
		s.drop()
		return err
	}
	connection, err := s.open(ctx)
	if err != nil {
		return err
	}
	s.connection = connection
	slog.Info("database session open", "version", version)
	return nil
}

func (s *session) open(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = "demo-app " + version
	connection, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if version == versionWrites && !s.announced {
		_, err := connection.Exec(ctx, "INSERT INTO app_events (source, message) VALUES ('demo-app', 'started')")
		if err != nil {
			_ = connection.Close(ctx)
			return nil, err
		}
		s.announced = true
	}
	return connection, nil
}

func (s *session) isOpen() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.connection != nil
}

// items are the rows of the table `items` as a JSON list, whatever its columns are at this point of the schema's history.
func (s *session) items(ctx context.Context) (json.RawMessage, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.connection == nil {
		return nil, errNoSession
	}
	var rows json.RawMessage
	err := s.connection.QueryRow(ctx,
		"SELECT coalesce(json_agg(to_json(i)), '[]') FROM (SELECT * FROM items ORDER BY 1 LIMIT 100) i").Scan(&rows)
	return rows, err
}

func (s *session) close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.drop()
}

// drop closes the connection without waiting long for a server that may be gone. Needs the mutex.
func (s *session) drop() {
	if s.connection == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), beat)
	defer cancel()
	_ = s.connection.Close(ctx)
	s.connection = nil
}
