// Command server is the gateway of the bench: the same for every contestant. It answers at once on the
// first port that it prints, and holds every request for ever on the second.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
)

// marker is the name of a property that every event of the bench has once.
var marker = []byte(`"bench":`)

var events, requests, wireBytes atomic.Int64

func main() {
	answering, holding := listen(), listen()
	fmt.Println(answering.Addr().(*net.TCPAddr).Port, holding.Addr().(*net.TCPAddr).Port)
	go func() { log.Fatal(http.Serve(holding, forPages(http.HandlerFunc(hold)))) }()
	mux := http.NewServeMux()
	mux.HandleFunc("/count", count)
	mux.HandleFunc("/seen", seen)
	mux.HandleFunc("/", answer)
	log.Fatal(http.Serve(answering, forPages(mux)))
}

// forPages lets pages of any origin send whatever they like.
func forPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Headers", "*")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func hold(_ http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		<-r.Context().Done()
	}
}

// count tells what came since the last time, and begins anew.
func count(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(map[string]int64{
		"events": events.Swap(0), "requests": requests.Swap(0), "bytes": wireBytes.Swap(0),
	})
}

// seen tells how many events have come since the last count.
func seen(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, events.Load())
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	wireBytes.Add(int64(len(body)))
	requests.Add(1)
	plain := inflated(body)
	n := bytes.Count(plain, marker)
	first, _, _ := bytes.Cut(plain, []byte("\n"))
	var header struct {
		Tidegate int
		Batch    string
		Count    int
	}
	w.Header().Set("Content-Type", "application/json")
	if json.Unmarshal(first, &header) == nil && header.Tidegate == 1 {
		fmt.Fprintf(w, `{"batch":%q,"accepted":%d}`, header.Batch, header.Count)
	} else {
		io.WriteString(w, `{"success":true,"status":1}`)
	}
	events.Add(int64(n))
}

func inflated(body []byte) []byte {
	if len(body) < 2 || body[0] != 0x1F || body[1] != 0x8B {
		return body
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(reader)
	return plain
}
