// Package fakegateway is a small gateway for tests and examples: it takes everything, or answers what
// it is told to.
package fakegateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Batch is one that came.
type Batch struct {
	Query  map[string][]string
	Header map[string]any
	Events []map[string]any
	Gzip   bool
	Status int
}

// Gateway is an HTTP server on the loopback.
type Gateway struct {
	*httptest.Server
	mu      sync.Mutex
	batches []Batch
	answers []func(http.ResponseWriter, Batch) bool
	config  string
}

// Start starts one.
func Start() *Gateway {
	g := &Gateway{}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/batch", g.batch)
	mux.HandleFunc("/v1/config", g.document)
	g.Server = httptest.NewServer(mux)
	return g
}

// Next answers the next batches, one each. An answer that returns true has written the reply.
func (g *Gateway) Next(answers ...func(http.ResponseWriter, Batch) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers = append(g.answers, answers...)
}

// Status answers with a status and a body.
func Status(status int, body string) func(http.ResponseWriter, Batch) bool {
	return func(w http.ResponseWriter, _ Batch) bool {
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

// Configure sets the document of the configuration centre.
func (g *Gateway) Configure(document string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.config = document
}

// Batches is what came so far.
func (g *Gateway) Batches() []Batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Batch(nil), g.batches...)
}

// Events are the distinct ids of the events of batches that were taken.
func (g *Gateway) Events() map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, b := range g.Batches() {
		for _, event := range b.Events {
			if b.Status == http.StatusOK {
				out[fmt.Sprint(event["id"])] = event
			}
		}
	}
	return out
}

func (g *Gateway) batch(w http.ResponseWriter, r *http.Request) {
	b, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	var answer func(http.ResponseWriter, Batch) bool
	if len(g.answers) > 0 {
		answer, g.answers = g.answers[0], g.answers[1:]
	}
	g.mu.Unlock()
	noted := &noting{ResponseWriter: w, status: http.StatusOK}
	if answer == nil || !answer(noted, b) {
		json.NewEncoder(noted).Encode(map[string]any{"batch": b.Header["batch"], "accepted": len(b.Events)})
	}
	b.Status = noted.status
	g.mu.Lock()
	g.batches = append(g.batches, b)
	g.mu.Unlock()
}

type noting struct {
	http.ResponseWriter
	status int
}

func (n *noting) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// Hijack lets an answer cut the connection.
func (n *noting) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func read(r *http.Request) (Batch, error) {
	b := Batch{Query: r.URL.Query()}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return b, err
	}
	if len(text) > 1 && text[0] == 0x1F && text[1] == 0x8B {
		b.Gzip = true
		reader, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return b, err
		}
		if text, err = io.ReadAll(reader); err != nil {
			return b, err
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return b, err
		}
		if b.Header == nil {
			b.Header = line
		} else {
			b.Events = append(b.Events, line)
		}
	}
	return b, lines.Err()
}

func (g *Gateway) document(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.config == "" {
		http.NotFound(w, r)
		return
	}
	etag := fmt.Sprintf("%q", fmt.Sprint(len(g.config)))
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	io.WriteString(w, g.config)
}
