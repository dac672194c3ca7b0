package store

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// A record is one line: a checksum of eight hexadecimal digits, a blank, a letter that says what it
// is, its fields, a newline. JSON has no raw newlines, so a damaged line damages no other (R115).
//
//	H version epoch                     head of a log
//	V seq                               sequence numbers up to this one are reserved
//	L report                            the ledger as it was here
//	E class ageAt seq ts line           an event was admitted
//	B id class attempt unanswered body  a batch was sealed; its events are no longer queued
//	A id attempt                        a send of it begins
//	W id attempt unanswered             it waits, no send is open
//	S id acked                          it was settled
//	X id reason class count             its events were dropped
//	P id                                it was split; the halves stand before this
//	D reason class seq...               queued events were dropped
const version = "1"

var table = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(buf []byte, write func([]byte) []byte) []byte {
	at := len(buf)
	buf = append(buf, "00000000 "...)
	buf = write(buf)
	sum := fmt.Sprintf("%08x", crc32.Checksum(buf[at+9:], table))
	copy(buf[at:], sum)
	return append(buf, '\n')
}

func text(buf []byte, format string, arguments ...any) []byte {
	return appendRecord(buf, func(b []byte) []byte { return fmt.Appendf(b, format, arguments...) })
}

// Head begins a log.
func Head(buf []byte, epoch string) []byte { return text(buf, "H %s %s", version, epoch) }

// Reserve records a block of sequence numbers (R111).
func Reserve(buf []byte, seq int64) []byte { return text(buf, "V %d", seq) }

// Snapshot records the ledger.
func Snapshot(buf []byte, report rules.Report, reserved int64) []byte {
	report.Fin, report.Reserved = true, reserved
	return appendRecord(buf, func(b []byte) []byte { return rules.AppendReport(append(b, "L "...), &report) })
}

// Admitted records an event.
func Admitted(buf []byte, class, ageAt int, seq, ts int64, line []byte) []byte {
	return appendRecord(buf, func(b []byte) []byte {
		b = append(b, 'E', ' ', byte('0'+class), ' ')
		b = strconv.AppendInt(b, int64(ageAt), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, seq, 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, ts, 10)
		b = append(b, ' ')
		return append(b, line...)
	})
}

// Sealed records a batch with its exact bytes (R79).
func Sealed(buf []byte, id string, class, attempt int, unanswered bool, body []byte) []byte {
	return appendRecord(buf, func(b []byte) []byte {
		b = fmt.Appendf(b, "B %s %d %d %d ", id, class, attempt, bit(unanswered))
		at := len(b)
		b = append(b, make([]byte, base64.StdEncoding.EncodedLen(len(body)))...)
		base64.StdEncoding.Encode(b[at:], body)
		return b
	})
}

// Sending records that a send begins.
func Sending(buf []byte, id string, attempt int) []byte { return text(buf, "A %s %d", id, attempt) }

// Waiting records that no send of a batch is open.
func Waiting(buf []byte, id string, attempt int, unanswered bool) []byte {
	return text(buf, "W %s %d %d", id, attempt, bit(unanswered))
}

// Settled records that a batch was taken.
func Settled(buf []byte, id string, acked int) []byte { return text(buf, "S %s %d", id, acked) }

// BatchDropped records that the events of a batch left.
func BatchDropped(buf []byte, id string, reason, class, count int) []byte {
	return text(buf, "X %s %d %d %d", id, reason, class, count)
}

// Split records that a batch was replaced by its halves.
func Split(buf []byte, id string) []byte { return text(buf, "P %s", id) }

// Dropped records that queued events left.
func Dropped(buf []byte, reason, class int, seqs []int64) []byte {
	return appendRecord(buf, func(b []byte) []byte {
		b = fmt.Appendf(b, "D %d %d", reason, class)
		for _, seq := range seqs {
			b = append(b, ' ')
			b = strconv.AppendInt(b, seq, 10)
		}
		return b
	})
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Event is one that was found.
type Event struct {
	Class, AgeAt int
	Seq, TS      int64
	Line         []byte
	// Aged is how many bytes of the line are an age; those do not count (R70).
	Aged int
}

// Batch is a sealed one that was found.
type Batch struct {
	ID         string
	Class      int
	Attempt    int // of the last send that may have begun
	Unanswered bool
	Body       []byte
	Events     []Event
	sending    bool
}

// Found is what a log tells (R114).
type Found struct {
	Epoch    string
	Ledger   rules.Report
	Reserved int64
	Events   []Event
	Batches  []*Batch
	// Missing is how many admitted events are neither found nor settled nor counted.
	Missing int64
	// Bad is how many records had a wrong checksum or made no sense.
	Bad int
}

// replay reads a log. A line without its newline is torn and cut off, a wrong one skipped.
type replay struct {
	found   Found
	order   []int64
	events  map[int64]*Event
	batches []*Batch
	highest int64
}

// Replay reads the records of a log. It is an error if it is of a newer version or has no head.
func Replay(log []byte) (*Found, error) {
	r := replay{events: map[int64]*Event{}}
	headed := false
	for len(log) > 0 {
		end := bytes.IndexByte(log, '\n')
		if end < 0 {
			break // torn
		}
		line := log[:end]
		log = log[end+1:]
		if len(line) < 10 || fmt.Sprintf("%08x", crc32.Checksum(line[9:], table)) != string(line[:8]) {
			r.found.Bad++
			continue
		}
		payload := string(line[9:])
		if strings.HasPrefix(payload, "H ") {
			fields := strings.Fields(payload)
			if len(fields) != 3 || fields[1] != version {
				return nil, ErrNewer
			}
			r.found.Epoch, headed = fields[2], true
			continue
		}
		if !r.record(payload) {
			r.found.Bad++
		}
	}
	if !headed {
		return nil, ErrCorrupt
	}
	return r.end(), nil
}

func (r *replay) record(payload string) bool {
	kind, rest, _ := strings.Cut(payload, " ")
	if kind == "E" {
		return r.admitted(rest)
	}
	if kind == "L" {
		return r.ledger(rest)
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return false
	}
	number := func(i int) int64 {
		if i >= len(fields) {
			return -1
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	switch kind {
	case "V":
		r.found.Reserved = higher(r.found.Reserved, number(0))
		return true
	case "B":
		return r.sealed(fields)
	case "D":
		reason, class := number(0), number(1)
		if !row(reason, class) {
			return false
		}
		for i := 2; i < len(fields); i++ {
			r.highest = higher(r.highest, number(i))
			delete(r.events, number(i))
			r.found.Ledger.Post[reason][class]++
		}
		return true
	}
	batch := r.batch(fields[0])
	if batch == nil {
		return kind == "A" || kind == "W" || kind == "S" || kind == "X" || kind == "P"
	}
	switch kind {
	case "A":
		batch.Attempt, batch.sending = int(number(1)), true
	case "W":
		batch.Attempt, batch.sending, batch.Unanswered = int(number(1)), false, number(2) == 1
	case "S":
		r.found.Ledger.Acked += int64(len(batch.Events))
		r.forget(batch)
	case "X":
		if !row(number(1), number(2)) {
			return false
		}
		r.found.Ledger.Post[number(1)][number(2)] += int64(len(batch.Events))
		r.forget(batch)
	case "P":
		r.forget(batch)
	default:
		return false
	}
	return true
}

func row(reason, class int64) bool { return reason >= 0 && reason < 10 && class >= 0 && class < 3 }

func (r *replay) admitted(rest string) bool {
	parts := strings.SplitN(rest, " ", 5)
	if len(parts) != 5 {
		return false
	}
	var n [4]int64
	for i := range n {
		value, err := strconv.ParseInt(parts[i], 10, 64)
		if err != nil {
			return false
		}
		n[i] = value
	}
	if n[0] < 0 || n[0] > 2 || n[1] < 0 || n[1] > int64(len(parts[4])) {
		return false
	}
	r.highest = higher(r.highest, n[2])
	r.events[n[2]] = &Event{Class: int(n[0]), AgeAt: int(n[1]), Seq: n[2], TS: n[3], Line: []byte(parts[4])}
	r.order = append(r.order, n[2])
	return true
}

func (r *replay) sealed(fields []string) bool {
	if len(fields) != 5 {
		return false
	}
	class, err1 := strconv.Atoi(fields[1])
	attempt, err2 := strconv.Atoi(fields[2])
	body, err3 := base64.StdEncoding.DecodeString(fields[4])
	if err1 != nil || err2 != nil || err3 != nil || class < 0 || class > 2 {
		return false
	}
	b := &Batch{ID: fields[0], Class: class, Attempt: attempt, Unanswered: fields[3] == "1", Body: body, sending: true}
	n, ok := b.open()
	if !ok {
		return false
	}
	r.found.Ledger.N = higher(r.found.Ledger.N, n)
	for i := range b.Events {
		r.highest = higher(r.highest, b.Events[i].Seq)
		delete(r.events, b.Events[i].Seq)
	}
	if before := r.batch(b.ID); before != nil {
		r.forget(before)
	}
	r.batches = append(r.batches, b)
	return true
}

// open reads the lines of a batch, and the number of its report.
func (b *Batch) open() (n int64, ok bool) {
	plain := b.Body
	if len(plain) > 1 && plain[0] == 0x1F && plain[1] == 0x8B {
		reader, err := gzip.NewReader(bytes.NewReader(plain))
		if err != nil {
			return 0, false
		}
		if plain, err = io.ReadAll(reader); err != nil {
			return 0, false
		}
	}
	lines := bytes.Split(bytes.TrimSuffix(plain, []byte("\n")), []byte("\n"))
	var head struct{ Report struct{ N int64 } }
	if json.Unmarshal(lines[0], &head) != nil {
		return 0, false
	}
	for _, line := range lines[1:] {
		var event struct {
			Seq, TS int64
			Age     *json.Number
		}
		if json.Unmarshal(line, &event) != nil {
			return 0, false
		}
		aged := 0
		if event.Age != nil {
			aged = len(`,"age":`) + len(*event.Age)
		}
		b.Events = append(b.Events, Event{Class: b.Class, AgeAt: len(line), Seq: event.Seq, TS: event.TS,
			Line: line, Aged: aged})
	}
	return head.Report.N, true
}

func (r *replay) ledger(rest string) bool {
	var read struct {
		N, Tracked, Admitted, Acked, Reserved int64
		Pre, Post                             [][3]any
	}
	if json.Unmarshal([]byte(rest), &read) != nil {
		return false
	}
	l := rules.Report{N: higher(r.found.Ledger.N, read.N), Tracked: read.Tracked, Admitted: read.Admitted, Acked: read.Acked}
	rows(&l.Pre, rules.PreReasons[:], read.Pre)
	rows(&l.Post, rules.PostReasons[:], read.Post)
	r.found.Reserved = higher(r.found.Reserved, read.Reserved)
	r.found.Ledger = l
	return true
}

func rows(counts *rules.Counts, names []string, list [][3]any) {
	for _, row := range list {
		class, _ := row[1].(float64)
		count, _ := row[2].(float64)
		for i, name := range names {
			if name == row[0] && class >= 0 && class <= 2 {
				counts[i][int(class)] = int64(count)
			}
		}
	}
}

func (r *replay) batch(id string) *Batch {
	for _, b := range r.batches {
		if b.ID == id {
			return b
		}
	}
	return nil
}

func (r *replay) forget(gone *Batch) {
	for i, b := range r.batches {
		if b == gone {
			r.batches = append(r.batches[:i:i], r.batches[i+1:]...)
			return
		}
	}
}

// end brings the ledger up to date with what was found (R114).
func (r *replay) end() *Found {
	f := &r.found
	held := int64(0)
	claimed := map[int64]bool{}
	for _, b := range r.batches {
		twice := false // a half whose split was torn off
		for i := range b.Events {
			twice = twice || claimed[b.Events[i].Seq]
		}
		if twice {
			continue
		}
		for i := range b.Events {
			claimed[b.Events[i].Seq] = true
		}
		// Taken to have an unanswered send if it may have been sent.
		b.Unanswered = b.Unanswered || b.sending
		f.Batches = append(f.Batches, b)
		held += int64(len(b.Events))
	}
	for _, seq := range r.order {
		if event, ok := r.events[seq]; ok && !claimed[seq] {
			f.Events = append(f.Events, *event)
			claimed[seq] = true
			held++
		}
	}
	l := &f.Ledger
	l.Admitted = higher(l.Admitted, r.highest)
	f.Reserved = higher(f.Reserved, r.highest)
	l.Held = held
	missing := l.Admitted - l.Acked - l.Post.Sum() - held
	if missing >= 0 {
		l.Post[storeError][1] += missing
		f.Missing = missing
	} else { // cannot be, unless records were lost; the sums hold all the same
		l.Admitted -= missing
	}
	l.Tracked = l.Admitted + l.Pre.Sum()
	return f
}

const storeError = 2 // in rules.PostReasons

func higher(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}
