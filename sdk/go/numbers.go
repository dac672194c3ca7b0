package tidegate

import (
	"bytes"
	"sort"
	"strconv"

	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

// storeWaitMS is how long a call of Track waits for a block of numbers (R43, R111). A disk that takes
// longer does not stop the host: numbers go on, and what a kill takes then may not be seen.
const storeWaitMS = 100

// reservation is a block of sequence numbers on its way into the store.
type reservation struct {
	upTo int64
	err  error
	done chan struct{}
	over bool
}

// blockOf is what is to be reserved when seq was the last number given: at least seqAhead more.
func blockOf(seq int64) int64 {
	upTo := (seq/seqBlock + 1) * seqBlock
	if upTo-seq <= seqAhead {
		upTo += seqBlock
	}
	return upTo
}

// numbered is the epoch that takes the next event. Its next number is reserved in the store (R111),
// unless the store cannot be written (R116) or does not answer.
func (c *core) numbered() *epoch {
	for {
		e := c.epoch
		k := &e.keep
		if !k.usable() || k.reserved-e.seq > seqAhead {
			return e
		}
		if k.asked == nil {
			c.reserve(e)
		}
		if e.seq < k.reserved || k.late {
			return e
		}
		asked := k.asked
		if k.late = !c.p.Await(asked.done, storeWaitMS); k.late {
			return e
		}
		c.reserved(e, asked) // after which the epoch may be another one
	}
}

// reserve asks for a block. It goes off the client's goroutine, behind what is written already.
func (c *core) reserve(e *epoch) {
	k := &e.keep
	asked := &reservation{upTo: blockOf(e.seq), done: make(chan struct{})}
	k.asked = asked
	c.p.Offload(func() {
		asked.err = k.write(func(q *store.Queue) error { return q.Reserve(asked.upTo) })
		close(asked.done)
	}, c.later(func() { c.reserved(e, asked) }))
}

// reserved notes that the store has answered.
func (c *core) reserved(e *epoch, asked *reservation) {
	if asked.over {
		return
	}
	asked.over = true
	k := &e.keep
	if k.asked == asked {
		k.asked, k.late = nil, false
	}
	if asked.err == nil && k.reserved < asked.upTo {
		k.reserved = asked.upTo
	}
	if asked.err != nil {
		c.kept(e, nil, k.told, asked.err, 0)
	}
}

// part leaves an epoch to what the store has of it. What is only in memory goes on in an epoch of its
// own, under new numbers: it was never sent. So no report says more than a later life of the epoch
// could find in the store (R116).
func (c *core) part(e *epoch) {
	e.ledger.N = e.keep.told.N + 1
	var moved []*event
	for class := range c.sealed {
		var back []*event
		for _, b := range append([]*batch(nil), c.sealed[class]...) {
			if b.epoch == e && !b.stored && !b.inFlight && b.attempt == 0 {
				back = append(back, c.unseal(b)...)
			}
		}
		c.queue[class].front(back)
		moved = append(moved, c.queue[class].remove(func(ev *event) bool { return ev.epoch == e && !ev.kept })...)
	}
	sort.Slice(moved, func(i, j int) bool { return moved[i].seq < moved[j].seq })
	to := c.epoch
	if e == to {
		e.older = true
		c.older = append(c.older, e)
		to = &epoch{id: c.newID()}
		c.epoch = to
	}
	for _, ev := range moved {
		c.move(ev, to)
	}
	if !to.keep.on {
		to.keep.on = true
		c.rewrite(to)
	}
}

// unseal takes back a batch that was never sent.
func (c *core) unseal(b *batch) []*event {
	if b.report.Fin {
		b.epoch.finSent = false
	}
	b.gone, b.busy = true, false
	c.undrain(b)
	for i, other := range c.sealed[b.class] {
		if other == b {
			c.sealed[b.class] = append(c.sealed[b.class][:i:i], c.sealed[b.class][i+1:]...)
			break
		}
	}
	if c.breaker.probe == b {
		c.breaker.opens(c.breaker.until)
	}
	return b.events
}

// seqAt is where the number stands in every line that this SDK writes.
const seqAt = len(`{"id":"01980000-0000-7000-8000-000000000000","seq":`)

// move gives an event the next number of another epoch, as if it had been admitted there.
func (c *core) move(ev *event, to *epoch) {
	c.used -= ev.size()
	from := &ev.epoch.ledger
	from.Tracked, from.Admitted, from.Held = from.Tracked-1, from.Admitted-1, from.Held-1
	ev.epoch, ev.seq = to, to.admit()
	length := len(ev.line)
	rest := ev.line[seqAt+bytes.IndexByte(ev.line[seqAt:], ','):]
	line := append(make([]byte, 0, length), ev.line[:seqAt]...)
	ev.line = append(strconv.AppendInt(line, ev.seq, 10), rest...)
	ev.ageAt += len(ev.line) - length
	c.queue[ev.class].push(ev)
	c.used += ev.size()
	c.record(to, ev, func(b []byte) []byte {
		return store.Admitted(b, ev.class, ev.ageAt, ev.seq, ev.ts, ev.line)
	})
}
