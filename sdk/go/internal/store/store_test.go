package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

const epoch = "01980000-0000-7000-8000-0000000000e1"

func line(seq int64) []byte {
	return []byte(fmt.Sprintf(`{"id":"x","seq":%d,"ts":5,"type":"t"}`, seq))
}

func sample() []byte {
	log := Reserve(Head(nil, epoch), 256)
	for seq := int64(1); seq <= 6; seq++ {
		log = Admitted(log, 1, 20, seq, 5, line(seq))
	}
	log = Snapshot(log, rules.Report{Tracked: 6, Admitted: 6, Held: 6}, 256)
	body := `{"report":{"n":3}}` + "\n" + string(line(1)) + "\n" + string(line(2)) + "\n"
	log = Sealed(log, "b1", 1, 0, false, []byte(body))
	log = Dropped(log, 0, 1, []int64{3})
	return Settled(log, "b1", 2)
}

func sumsHold(t *testing.T, f *Found) {
	t.Helper()
	l := f.Ledger
	if l.Tracked != l.Admitted+l.Pre.Sum() || l.Admitted != l.Acked+l.Held+l.Post.Sum() {
		t.Fatalf("%+v", l)
	}
	held := int64(len(f.Events))
	for _, b := range f.Batches {
		held += int64(len(b.Events))
	}
	if held != l.Held {
		t.Fatalf("%d are held, the ledger says %d", held, l.Held)
	}
}

func TestReplay(t *testing.T) {
	f, err := Replay(sample())
	if err != nil {
		t.Fatal(err)
	}
	sumsHold(t, f)
	if f.Ledger.Acked != 2 || f.Ledger.N != 3 || len(f.Events) != 3 || f.Missing != 0 || f.Reserved != 256 {
		t.Fatalf("%+v", f)
	}
}

// An age that stands in the bytes of a sealed batch counts in no queue (R70).
func TestAgesOfASealedBatch(t *testing.T) {
	log := Reserve(Head(nil, epoch), 256)
	aged := `{"id":"x","seq":1,"ts":5,"age":2000,"type":"t"}`
	body := `{"report":{"n":1}}` + "\n" + aged + "\n" + string(line(2)) + "\n"
	f, err := Replay(Sealed(log, "b1", 1, 0, false, []byte(body)))
	if err != nil || len(f.Batches) != 1 || len(f.Batches[0].Events) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, event := range f.Batches[0].Events {
		if plain := len(event.Line) - event.Aged; plain != len(line(event.Seq)) {
			t.Errorf("event %d counts %d bytes, not %d", event.Seq, plain, len(line(event.Seq)))
		}
	}
}

// A log may end anywhere, and any byte of it may be wrong (R115).
func TestReplayOfDamagedLogs(t *testing.T) {
	whole := sample()
	head := len(Head(nil, epoch))
	for end := head; end < len(whole); end++ {
		f, err := Replay(whole[:end])
		if err != nil {
			t.Fatal(err)
		}
		sumsHold(t, f)
	}
	for at := head; at < len(whole); at++ {
		damaged := append([]byte(nil), whole...)
		damaged[at] ^= 0x41
		f, err := Replay(damaged)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		sumsHold(t, f)
	}
	if _, err := Replay([]byte("garbage\n")); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func always() bool { return true }

func TestExactlyOneTakesOver(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(dir, Env{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open(), open()
	q, err := a.NewQueue(epoch, sample())
	if err != nil {
		t.Fatal(err)
	}
	warn := func(what string, err error) { t.Error(what, err) }
	if claimed := b.ClaimDead(always, warn); len(claimed) != 0 {
		t.Fatal("a living queue was taken over")
	}
	if err := q.Append(Dropped(nil, 0, 1, []int64{4}), nil); err != nil {
		t.Fatal(err)
	}
	q.Close(false)
	first, second := a.ClaimDead(always, warn), b.ClaimDead(always, warn)
	if len(first) != 1 || len(second) != 0 {
		t.Fatal(len(first), len(second))
	}
	if len(first[0].Found.Events) != 2 {
		t.Fatalf("%+v", first[0].Found)
	}
	// A claim that was taken away makes the next write fail (R113).
	os.WriteFile(filepath.Join(dir, "queue-"+epoch, "claim"), []byte("0000000000000000099\n"), 0o600)
	if err := first[0].Queue.Append([]byte("x\n"), nil); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
	first[0].Queue.Close(true)
	if left, _ := filepath.Glob(filepath.Join(dir, "queue-*")); len(left) != 0 {
		t.Fatal(left)
	}
}

func TestStoresThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "layout"), []byte("2\n"), 0o600)
	if _, err := Open(dir, Env{}); !errors.Is(err, ErrNewer) {
		t.Fatal(err)
	}
	dir = t.TempDir()
	s, err := Open(dir, Env{})
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "queue-"+epoch)
	os.Mkdir(bad, 0o700)
	os.WriteFile(filepath.Join(bad, "log-00000001"), bytes.Repeat([]byte("?"), 100), 0o600)
	warned := 0
	if claimed := s.ClaimDead(always, func(string, error) { warned++ }); len(claimed) != 0 || warned != 1 {
		t.Fatal(len(claimed), warned)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "bad-*")); len(aside) != 1 {
		t.Fatal("it was not put aside (R117)")
	}
	if err := s.Write("small", []byte("value")); err != nil {
		t.Fatal(err)
	}
	if text, ok := s.Read("small"); !ok || string(text) != "value" {
		t.Fatal(string(text))
	}
	os.WriteFile(filepath.Join(dir, "small"), []byte("00000000 value"), 0o600)
	if _, ok := s.Read("small"); ok {
		t.Fatal("a damaged file was believed")
	}
}

func TestAFailedAppendLeavesNothing(t *testing.T) {
	var fault error
	s, err := Open(t.TempDir(), Env{Fault: func() error { return fault }})
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.NewQueue(epoch, sample())
	if err != nil {
		t.Fatal(err)
	}
	before := q.Bytes()
	fault = ErrFull
	if err := q.Append([]byte("x\n"), nil); !Full(err) || q.Bytes() != before {
		t.Fatal(err, q.Bytes())
	}
	q.Close(false)
}
