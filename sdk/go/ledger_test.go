package tidegate

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
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

// kind takes everything and has no configuration.
func kind(r platform.Request) platform.Reply {
	if r.Method == "GET" {
		return platform.Reply{Status: 404}
	}
	return taken(r)
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
	for key, count := range countedOver(s, p.sends) {
		if told[key] != count {
			t.Errorf("%s: counted %d, told %d", key, count, told[key])
		}
	}
	reportsNeverFall(t, p.sends)
}

// countedOver is what is counted by reason and class: in epochs that are open, and in those that have been
// closed while the client went on (R116).
func countedOver(s Stats, sends []platform.Request) map[string]int64 {
	counted := map[string]int64{}
	open := map[string]bool{}
	for _, l := range append(s.Older, s.Ledger) {
		open[l.Epoch] = true
		for _, row := range append(append([]Row(nil), l.Pre...), l.Post...) {
			counted[fmt.Sprint(row.Reason, row.Class)] += row.Count
		}
	}
	closed := map[string]map[string]any{}
	for _, r := range sends {
		header, _ := opened(r)
		if last := header["report"].(map[string]any); last["fin"] != nil && !open[header["epoch"].(string)] {
			closed[header["epoch"].(string)] = last
		}
	}
	for _, last := range closed {
		for _, row := range append(last["pre"].([]any), last["post"].([]any)...) {
			row := row.([]any)
			counted[fmt.Sprint(row[0], row[1])] += int64(row[2].(float64))
		}
	}
	return counted
}

// reportsNeverFall looks at reports in the order of their n (R100).
func reportsNeverFall(t *testing.T, sends []platform.Request) {
	t.Helper()
	type report struct {
		N, Tracked, Admitted, Acked float64
		Pre, Post                   [][3]any
	}
	rows := func(r report) map[string]float64 {
		counts := map[string]float64{}
		for _, row := range append(append([][3]any(nil), r.Pre...), r.Post...) {
			counts[fmt.Sprint(row[0], row[1])] = row[2].(float64)
		}
		return counts
	}
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
		if before, known := byEpoch[epoch][read.N]; known && !reflect.DeepEqual(before, read) {
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
				new := rows(now)
				for row, count := range rows(before) {
					if new[row] < count {
						t.Errorf("report %v: %s falls", n, row)
					}
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

// TestWhatAKillTakesIsSeen kills clients at moments of chance, in bursts, on a disk that is sometimes full:
// reports never fall from one life to the next, and what is missing of an epoch that was in the store is
// not more than the numbers that were reserved and not seen (R111, R116).
func TestWhatAKillTakesIsSeen(t *testing.T) {
	for seed := int64(0); seed < 10; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { killed(t, seed) })
	}
}

func killed(t *testing.T, seed int64) {
	chance := rand.New(rand.NewSource(seed))
	dir := filepath.Join(t.TempDir(), "store")
	given := map[string]int64{} // the highest number by epoch that the store had
	var sends []platform.Request
	for life := int64(0); life < 6; life++ {
		p := newFake(seed*100 + life)
		p.gateway = moody(chance)
		if life == 5 {
			p.gateway = kind
		}
		client, err := newClient(Options{Key: "wk_test", Endpoint: "http://gateway", StoreDir: dir, Logger: silent}, p)
		if err != nil {
			t.Fatal(err)
		}
		p.run()
		for i := 0; i < 8 && life < 5; i++ {
			if chance.Intn(4) == 0 {
				p.disk = []error{nil, syscall.ENOSPC}[chance.Intn(2)]
			}
			for n := []int{1, 20, 400}[chance.Intn(3)]; n > 0; n-- {
				client.Track([]string{"t", "bad type"}[n%2], nil, WithClass(Class(chance.Intn(3))))
			}
			if e := client.core.epoch; e.keep.usable() && e.seq > given[e.id] {
				given[e.id] = e.seq
			}
			p.advance(int64(chance.Intn(90000) * chance.Intn(2)))
		}
		if life == 5 {
			p.advance(600000)
			if s := client.Stats(); s.Held != 0 || len(s.Older) != 0 {
				t.Fatalf("held %d, older %+v", s.Held, s.Older)
			}
		}
		for _, e := range append([]*epoch{client.core.epoch}, client.core.older...) {
			if e.keep.q != nil { // as a killed process: the locks go, nothing else happens
				e.keep.q.Close(false)
			}
		}
		sends = append(sends, p.sends...)
	}
	reportsNeverFall(t, sends)
	reserved := map[string]int64{}
	for _, r := range sends {
		header, _ := opened(r)
		if last := header["report"].(map[string]any); last["fin"] != nil {
			reserved[header["epoch"].(string)] = int64(last["reserved"].(float64))
		}
	}
	for epoch, seq := range given {
		if r := reserved[epoch]; r < seq || r-seq > seqAhead+seqBlock+1000 {
			t.Errorf("%s: %d numbers given, %d reserved", epoch, seq, r)
		}
	}
}

// TestADiskThatHangsDoesNotStopTheHost: numbers go on (R111), and the store hears of them when it answers.
func TestADiskThatHangsDoesNotStopTheHost(t *testing.T) {
	p := newFake(1)
	p.gateway = kind
	client, err := newClient(Options{Key: "wk_test", Endpoint: "http://gateway", StoreDir: t.TempDir(), Logger: silent}, p)
	if err != nil {
		t.Fatal(err)
	}
	p.run()
	p.hung = true
	for i := 0; i < 1000; i++ {
		client.Track("t", nil)
	}
	e := client.core.epoch
	if e.seq != 1000 || e.keep.reserved != 0 || !e.keep.late {
		t.Fatal(e.seq, e.keep.reserved, e.keep.late)
	}
	p.hung = false
	p.run()
	client.Track("t", nil)
	if e.keep.reserved < 1001 || e.keep.late {
		t.Fatal(e.keep.reserved, e.keep.late)
	}
}

// TestARewrittenLogHasWhatIsBeingSent: logs are written anew all the time, also right behind a batch that
// was just stored; after a kill nothing may come back that was settled, and nothing twice.
func TestARewrittenLogHasWhatIsBeingSent(t *testing.T) {
	for _, full := range []bool{false, true} {
		chance := rand.New(rand.NewSource(1))
		p := newFake(1)
		p.gateway = kind
		dir := t.TempDir()
		client, err := newClient(Options{Key: "wk_test", Endpoint: "http://gateway", StoreDir: dir, Logger: silent,
			QueueBytesMax: 65536, BatchEventsMax: 10, BatchMS: 200}, p)
		if err != nil {
			t.Fatal(err)
		}
		p.run()
		noise := make([]byte, 1000)
		rewrites, before := 0, int64(0)
		for i := 0; i < 300; i++ {
			if full && i%100 == 50 { // batches are sealed and settled that the store has not seen
				p.disk = syscall.ENOSPC
			}
			for n := chance.Intn(12); n > 0; n-- {
				chance.Read(noise)
				client.Track("t", map[string]any{"x": fmt.Sprintf("%x", noise)})
			}
			if full && i%100 == 60 {
				p.disk = nil
				p.advance(61000)
			}
			p.advance(int64(chance.Intn(400)))
			for _, e := range append([]*epoch{client.core.epoch}, client.core.older...) {
				k := &e.keep
				if !k.usable() || k.dirty || k.q == nil {
					continue
				}
				if k.bytes < before {
					rewrites++
				}
				before = k.bytes
				found := foundIn(t, dir, e.id)
				if found.Ledger.Admitted != e.ledger.Admitted || found.Ledger.Held != e.ledger.Held || found.Missing != 0 {
					t.Fatalf("step %d: the store has %+v (missing %d), the client %+v", i, found.Ledger, found.Missing, e.ledger)
				}
			}
		}
		if rewrites < 5 {
			t.Fatalf("only %d rewrites", rewrites)
		}
	}
}

// foundIn is what a later life would find of an epoch.
func foundIn(t *testing.T, dir, epoch string) *store.Found {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(dir, "*", "*", "log-*"))
	more, _ := filepath.Glob(filepath.Join(dir, "*", "log-*"))
	for _, name := range append(logs, more...) {
		text, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(text, []byte("H ")) {
			continue
		}
		if found, err := store.Replay(text); err == nil && found.Epoch == epoch {
			return found
		}
	}
	t.Fatalf("no log of %s", epoch)
	return nil
}
