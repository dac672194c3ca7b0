package tidegate

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/sdk/go/internal/fakegateway"
)

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// ours are the goroutines that run code of this module, apart from tests.
func ours() int {
	buf := make([]byte, 1<<20)
	count := 0
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "internal/platform.(*Real)") {
			count++
		}
	}
	return count
}

func open1(t *testing.T, g *fakegateway.Gateway, change func(*Options)) *Client {
	t.Helper()
	options := Options{Key: "wk_test", Endpoint: g.URL, Logger: silent, BatchMS: 100, RetryBaseMS: 100}
	if change != nil {
		change(&options)
	}
	client, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestCloseSendsEverythingAndEndsEverything(t *testing.T) {
	g := fakegateway.Start()
	defer g.Close()
	client := open1(t, g, nil)
	for i := 0; i < 1000; i++ {
		client.Track("page.view", map[string]any{"i": i}, WithClass(Class(i%3)))
	}
	if !client.Close(soon(t)) {
		t.Fatal("not everything was sent")
	}
	if n := len(g.Events()); n != 1000 {
		t.Fatalf("%d events arrived", n)
	}
	if n := ours(); n != 0 {
		t.Fatalf("%d goroutines are left", n)
	}
	client.Track("late", nil)
	if s := client.Stats(); s.Tracked != 1001 || s.Acked != 1000 || s.Held != 0 {
		t.Fatalf("%+v", s)
	}
	if !client.Close(soon(t)) || !client.Flush(soon(t)) {
		t.Fatal("a second close says something else")
	}
}

func TestNothingRunsBeforeItHasTo(t *testing.T) {
	before := ours()
	if _, err := New(Options{Key: "x", Endpoint: "http://127.0.0.1:9"}); err != ErrKey {
		t.Fatal(err)
	}
	if _, err := New(Options{Key: "wk_test", Endpoint: "ftp://127.0.0.1"}); err != ErrEndpoint {
		t.Fatal(err)
	}
	if ours() != before {
		t.Fatal("a refused client left goroutines")
	}
}

func TestRetriesUseTheSameBytes(t *testing.T) {
	g := fakegateway.Start()
	defer g.Close()
	g.Next(fakegateway.Status(503, `{"reason":"busy"}`), fakegateway.Status(429, ""),
		func(w http.ResponseWriter, _ fakegateway.Batch) bool {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				connection.Close()
			}
			return true
		})
	client := open1(t, g, func(o *Options) { o.RetryCapMS = 1000 })
	client.Track("t", map[string]any{"pad": strings.Repeat("x", 5000)})
	if !client.Flush(soon(t)) {
		t.Fatal("not sent")
	}
	batches := g.Batches()
	if len(batches) != 4 || !batches[3].Gzip || batches[3].Query["attempt"][0] != "3" ||
		batches[0].Header["batch"] != batches[3].Header["batch"] {
		t.Fatalf("%+v", batches)
	}
	client.Close(soon(t))
}

func TestManyGoroutines(t *testing.T) {
	g := fakegateway.Start()
	defer g.Close()
	client := open1(t, g, func(o *Options) {
		o.StoreDir = filepath.Join(t.TempDir(), "store")
		o.OnDrop = func(string, Class, int) {}
		o.BeforeSend = func(e *Event) *Event { e.Props["seen"] = true; return e }
	})
	var all sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		worker := worker
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; i < 200; i++ {
				client.Track("t", map[string]any{"worker": worker, "i": i}, WithClass(Class(i%3)))
				if i%50 == 0 {
					s := client.Stats()
					if s.Admitted < s.Acked {
						t.Error("more acknowledged than admitted")
					}
					client.Flush(soon(t))
				}
			}
		}()
	}
	all.Wait()
	if !client.Close(soon(t)) {
		t.Fatalf("%+v", client.Stats())
	}
	sums(t, client.Stats().Ledger)
	if n := len(g.Events()); n != 1600 {
		t.Fatalf("%d events arrived", n)
	}
	if n := ours(); n != 0 {
		t.Fatalf("%d goroutines are left", n)
	}
}

func TestACancelledContextEndsTheWait(t *testing.T) {
	g := fakegateway.Start()
	release := make(chan struct{})
	g.Next(func(http.ResponseWriter, fakegateway.Batch) bool { <-release; return false })
	client := open1(t, g, nil)
	client.Track("t", nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if client.Flush(ctx) {
		t.Fatal("flushed in no time")
	}
	if client.Close(ctx) {
		t.Fatal("closed in no time")
	}
	s := client.Stats()
	if s.Held != 0 || len(s.Post) != 1 {
		t.Fatalf("%+v", s)
	}
	close(release)
	g.Close()
}

func TestAHookMayCloseItsClient(t *testing.T) {
	g := fakegateway.Start()
	defer g.Close()
	var client *Client
	client = open1(t, g, func(o *Options) {
		o.OnDrop = func(string, Class, int) { client.Close(context.Background()); panic("and throws") }
	})
	client.Track("not valid", nil)
	client.Close(soon(t))
}

func TestOptOutErasesAtOnce(t *testing.T) {
	g := fakegateway.Start()
	defer g.Close()
	dir := filepath.Join(t.TempDir(), "store")
	client := open1(t, g, func(o *Options) { o.StoreDir, o.BatchMS = dir, 60000 })
	client.Track("t", nil)
	client.OptOut()
	if queues, _ := filepath.Glob(filepath.Join(dir, "queue-*")); len(queues) != 0 {
		t.Fatalf("%v", queues)
	}
	client.Track("t", nil)
	if s := client.Stats(); s.Held != 0 || !s.OptedOut || s.Tracked != 1 {
		t.Fatalf("%+v", s)
	}
	client.Close(soon(t))
	if n := len(g.Batches()); n != 0 {
		t.Fatalf("%d batches came", n)
	}
}

func TestStatsHaveTheNamesOfTheContract(t *testing.T) {
	p := newFake(1)
	client, _ := newClient(Options{Key: "wk_test", Endpoint: "http://gateway", Logger: silent}, p)
	client.Track("", nil)
	text, err := json.Marshal(client.Stats())
	if err != nil || !strings.Contains(string(text), `"pre":[["invalid",1,1]],"post":[]`) ||
		!strings.Contains(string(text), `"config":null`) {
		t.Fatal(string(text), err)
	}
}
