package tidegate

import (
	"bytes"
	"compress/gzip"
	"sync"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// batch is sealed: its id and bytes are final (R5).
type batch struct {
	id     string
	epoch  *epoch
	class  int
	events []*event
	plain  []byte // until it is compressed
	body   []byte
	gzip   bool
	ready  bool // body is final
	report rules.Report
	// attempt is the number of the next send.
	attempt    int
	sealedAt   int64 // monotonic
	recovered  bool  // no wait (R1)
	unanswered bool  // R104
	stored     bool
	busy       bool // it is being prepared or in flight
	inFlight   bool
	serial     int
	abort      func()
	cancel     func() // of the request's timeout
	sentAt     int64
	drained    bool // it counts in the drain's round
	purge      bool // killed with a purge while in flight
	gone       bool
}

func (b *batch) count() int { return len(b.events) }

// newBatch seals events into a batch (R8, R9). The header line is written for the report's sake now.
func (c *core) newBatch(e *epoch, class int, events []*event, fin bool) *batch {
	b := &batch{id: c.newID(), epoch: e, class: class, events: events, sealedAt: c.now(), report: e.report(fin)}
	header := rules.Header{
		Batch: b.id, SDK: sdkName, Instance: c.instance, Epoch: e.id, Class: class, Count: len(events),
		Config: c.eff.Config, Context: c.opt.context, Report: b.report,
	}
	size := 0
	for _, ev := range events {
		size += len(ev.line) + 32
	}
	body := make([]byte, 0, size+1024+len(c.opt.context))
	body = append(rules.AppendHeader(body, &header), '\n')
	for _, ev := range events {
		body = append(rules.AppendAged(body, ev.line, ev.ageAt, ev.age), '\n')
		b.recovered = b.recovered || ev.recovered
	}
	b.plain = body
	return b
}

// headerBytes is the most that the header line of the next batch can take (R78).
func (c *core) headerBytes(e *epoch, class int) int64 {
	header := rules.Header{
		Batch: e.id, SDK: sdkName, Instance: c.instance, Epoch: e.id, Class: class,
		Count: int(c.eff.BatchEventsMax), Config: c.eff.Config, Context: c.opt.context, Report: e.ledger,
	}
	const growth = 2 // n and count may have one digit more
	return int64(len(rules.AppendHeader(nil, &header))) + 1 + growth
}

// seal takes the oldest events of a class and of one epoch (R78).
func (c *core) seal(class int) *batch {
	q := &c.queue[class]
	e := q.at(0).epoch
	now := c.now()
	left := c.eff.BatchBytesMax - c.headerBytes(e, class)
	n := 0
	for n < q.Len() && int64(n) < c.eff.BatchEventsMax {
		ev := q.at(n)
		if ev.epoch != e {
			break
		}
		age := int64(0)
		if !ev.recovered {
			age = now - ev.mono
		}
		size := ev.size()
		if age > 1000 {
			size += int64(len(rules.AppendAged(nil, []byte("{}"), 1, age))) - 2
		}
		if n > 0 && size > left {
			break
		}
		left -= size
		ev.age = age
		n++
	}
	return c.newBatch(e, class, q.pop(n), false)
}

var gzippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// compress makes the final bytes. The time in the gzip header is zero (R4).
func (b *batch) compress(least int) {
	b.body = b.plain
	if len(b.plain) >= least {
		var out bytes.Buffer
		w := gzippers.Get().(*gzip.Writer)
		w.Reset(&out)
		_, err := w.Write(b.plain)
		if err == nil {
			err = w.Close()
		}
		gzippers.Put(w)
		if err == nil && out.Len() < len(b.plain) {
			b.body, b.gzip = out.Bytes(), true
		}
	}
	b.plain = nil
}

// expired says whether the newest event of a batch is too old (R91). Reports alone stay.
func (c *core) batchExpired(b *batch) bool {
	if len(b.events) == 0 {
		return false
	}
	for _, ev := range b.events {
		if c.age(ev) < c.eff.TTLMS {
			return false
		}
	}
	return true
}

// age of an event (R90).
func (c *core) age(ev *event) int64 {
	if ev.recovered {
		return rules.RecoveredAgeMS(c.p.WallMS(), ev.ts)
	}
	return c.now() - ev.mono
}

// expireQueue drops queued events that are too old.
func (c *core) expireQueue(class int) {
	q := &c.queue[class]
	if q.Len() == 0 {
		return
	}
	old := func(ev *event) bool { return c.age(ev) >= c.eff.TTLMS }
	if q.at(0).recovered || old(q.at(0)) {
		c.dropQueued(q.remove(old), postExpired)
	}
}

// expire looks at everything (R91).
func (c *core) expire() {
	for class := 0; class < 3; class++ {
		c.expireQueue(class)
		for _, b := range append([]*batch(nil), c.sealed[class]...) {
			if !b.inFlight && c.batchExpired(b) {
				c.expireBatch(b)
			}
		}
	}
}

func (c *core) expireBatch(b *batch) {
	reason := postExpired
	if b.attempt > 0 {
		reason = postRetryExhausted
	}
	c.dropBatch(b, reason)
}
