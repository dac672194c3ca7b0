package tidegate

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
)

// taken is a definitive 200 for a batch (R15).
func taken(r platform.Request) platform.Reply {
	header, events := opened(r)
	text, _ := json.Marshal(map[string]any{"batch": header["batch"], "accepted": len(events)})
	return platform.Reply{Status: 200, Body: text}
}

func opened(r platform.Request) (header map[string]any, events []map[string]any) {
	text := r.Body
	if len(text) > 1 && text[0] == 0x1F {
		reader, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			panic(err)
		}
		text, _ = io.ReadAll(reader)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		var read map[string]any
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			panic(err)
		}
		if i == 0 {
			header = read
		} else {
			events = append(events, read)
		}
	}
	return header, events
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// sums are the two of R101.
func sums(t *testing.T, l Ledger) {
	t.Helper()
	pre, post := int64(0), int64(0)
	for _, row := range l.Pre {
		pre += row.Count
	}
	for _, row := range l.Post {
		post += row.Count
	}
	if l.Tracked != l.Admitted+pre || l.Admitted != l.Acked+l.Held+post || l.Held < 0 {
		t.Fatalf("the sums do not hold: %+v", l)
	}
}

// TestSumsHoldWhateverHappens tracks, waits, fails, kills and opts out by chance, with and without a
// store, and looks at the ledger after every step.
func TestSumsHoldWhateverHappens(t *testing.T) {
	for seed := int64(0); seed < 24; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { whatever(t, seed) })
	}
}

func whatever(t *testing.T, seed int64) {
	chance := rand.New(rand.NewSource(seed))
	p := newFake(seed)
	p.gateway = moody(chance)
	told := map[string]int64{}
	options := Options{Key: "wk_test", Endpoint: "http://gateway", QueueBytesMax: 65536, BatchEventsMax: 20,
		TTLMS: 60000, Logger: silent, Sample: map[string]float64{"rare": 0.5},
		OnDrop: func(reason string, class Class, count int) { told[fmt.Sprint(reason, class)] += int64(count) }}
	if seed%2 == 1 {
		options.StoreDir = filepath.Join(t.TempDir(), "store")
	}
	client, err := newClient(options, p)
	if err != nil {
		t.Fatal(err)
	}
	erased := false
	for i := 0; i < 150; i++ {
		switch chance.Intn(12) {
		case 0:
			p.advance(int64(chance.Intn(40000)))
		case 1:
			p.disk = []error{nil, nil, syscall.ENOSPC}[chance.Intn(3)]
		case 2:
			client.Track("bad type", nil)
		case 3:
			client.Track("huge", map[string]any{"x": strings.Repeat("y", 300000)})
		case 4:
			client.core.flush(int64(chance.Intn(5000)), func(bool) {})
		case 5:
			if seed%5 == 0 && chance.Intn(6) == 0 {
				erased = true
				client.core.optOut(func() {})
				p.run()
				client.core.optIn(func() {})
			}
		default:
			for n := chance.Intn(30); n > 0; n-- {
				kind := []string{"page", "rare"}[chance.Intn(2)]
				props := map[string]any{"pad": strings.Repeat("z", chance.Intn(2000))}
				client.Track(kind, props, WithClass(Class(chance.Intn(3))))
			}
			p.advance(int64(chance.Intn(3000)))
		}
		p.run()
		s := client.Stats()
		sums(t, s.Ledger)
		if s.QueueBytes > 65536 || s.QueueBytes < 0 {
			t.Fatalf("a queue of %d bytes", s.QueueBytes)
		}
		if s.StoreBytes > 2*65536+1048576 {
			t.Fatalf("a store of %d bytes", s.StoreBytes)
		}
	}
	over := false
	client.core.close(int64(chance.Intn(20000)), func(bool) { over = true })
	p.advance(20000)
	if !over || !p.ended {
		t.Fatal("close has not ended")
	}
	s := client.Stats()
	sums(t, s.Ledger)
	if options.StoreDir == "" && s.Held != 0 {
		t.Fatalf("%d events are held without a store", s.Held)
	}
	if erased {
		return
	}
	for _, row := range append(s.Pre, s.Post...) {
		if key := fmt.Sprint(row.Reason, row.Class); told[key] != row.Count {
			t.Errorf("%s: counted %d, told %d", key, row.Count, told[key])
		}
	}
	reportsNeverFall(t, p.sends)
}

// reportsNeverFall looks at reports in the order of their n (R100).
func reportsNeverFall(t *testing.T, sends []platform.Request) {
	t.Helper()
	type report struct{ N, Tracked, Admitted, Acked float64 }
	byEpoch := map[string]map[float64]report{}
	for _, r := range sends {
		header, _ := opened(r)
		text, _ := json.Marshal(header["report"])
		var read report
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		epoch := header["epoch"].(string)
		if byEpoch[epoch] == nil {
			byEpoch[epoch] = map[float64]report{}
		}
		if before, known := byEpoch[epoch][read.N]; known && before != read {
			t.Errorf("n %v stands twice", read.N)
		}
		byEpoch[epoch][read.N] = read
	}
	for _, reports := range byEpoch {
		before := report{}
		for n := 1.0; n < 5000; n++ {
			if now, ok := reports[n]; ok {
				if now.Tracked < before.Tracked || now.Admitted < before.Admitted || now.Acked < before.Acked {
					t.Errorf("report %v falls: %+v after %+v", n, now, before)
				}
				before = now
			}
		}
	}
}

// TestEverythingIsAccountedForAfterCrashes drops the client without a word, again and again, on one
// store: what was in the store comes back, and the last life's end closes every epoch.
func TestEverythingIsAccountedForAfterCrashes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	arrived := map[string]bool{}
	tracked := 0
	for life := int64(0); life < 4; life++ {
		p := newFake(life)
		client, err := newClient(Options{Key: "wk_test", Endpoint: "http://gateway", StoreDir: dir, Logger: silent}, p)
		if err != nil {
			t.Fatal(err)
		}
		p.run()
		if life == 3 {
			p.gateway = func(r platform.Request) platform.Reply {
				_, events := opened(r)
				for _, event := range events {
					arrived[event["id"].(string)] = true
				}
				return taken(r)
			}
		}
		for i := 0; i < 50; i++ {
			client.Track("t", map[string]any{"i": i})
			tracked++
		}
		p.advance(2000)
		if life < 3 { // as a killed process: the locks go, nothing else happens
			for _, e := range append([]*epoch{client.core.epoch}, client.core.older...) {
				if e.keep.q != nil {
					e.keep.q.Close(false)
				}
			}
			continue
		}
		p.advance(300000)
		s := client.Stats()
		if s.Held != 0 || len(s.Older) != 0 {
			t.Fatalf("held %d, older %+v", s.Held, s.Older)
		}
	}
	if len(arrived) != tracked {
		t.Fatalf("%d of %d events arrived", len(arrived), tracked)
	}
}
