package tidegate

import (
	"errors"
	"sort"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

var errNoStore = errors.New("no store")

// keeper keeps one epoch in the store (R110, R111). What is to be written is collected and goes off
// the client's goroutine in order; q is touched there only.
type keeper struct {
	q       *store.Queue
	on      bool  // the epoch has a queue in the store, or will have
	broken  error // the last write failed; memory goes on alone (R116)
	pending []byte
	events  []*event // in pending
	dirty   bool     // the ledger is not as it was written
	cancel  func()
	bytes   int64
	// failed is why nothing is appended until the log is written anew; it is touched where q is. So what
	// the store has is always what it had at one moment.
	failed error
	// told is the ledger that the store has, reserved the highest number that may be given (R111).
	told     rules.Report
	reserved int64
	asked    *reservation
	late     bool // the store has been waited for in vain
}

func (k *keeper) usable() bool { return k.on && k.broken == nil }

// behind says whether the store has something of the epoch and cannot be told of the rest (R116).
func (k *keeper) behind() bool {
	return k.on && k.broken != nil && (k.reserved > 0 || k.told.Tracked > 0)
}

func (k *keeper) stop() {
	if k.cancel != nil {
		k.cancel()
		k.cancel = nil
	}
	k.pending, k.events, k.dirty = nil, nil, false
}

// record collects a record of an epoch; ev is the event that will be in the store with it.
func (c *core) record(e *epoch, ev *event, write func([]byte) []byte) {
	k := &e.keep
	if !k.usable() || c.ended {
		return
	}
	k.pending = write(k.pending)
	if ev != nil {
		k.events = append(k.events, ev)
	}
	c.changed(e)
	if len(k.pending) >= storeBytesFlush {
		c.keepNow(e, nil, nil, func(error) {})
	}
}

// changed makes sure that the ledger is written soon.
func (c *core) changed(e *epoch) {
	k := &e.keep
	if !k.usable() || c.ended {
		return
	}
	k.dirty = true
	if k.cancel == nil {
		k.cancel = c.p.Timer(c.opt.storeFlushMS, c.later(func() {
			k.cancel = nil
			if k.usable() && k.dirty {
				c.keepNow(e, nil, nil, func(error) {})
			}
		}))
	}
}

// keepNow writes everything that was collected, then what records adds, then the ledger. finish runs
// before, off the client's goroutine, also if there is no store; done runs after, with the error.
func (c *core) keepNow(e *epoch, finish func(), records func([]byte) []byte, done func(error)) {
	k := &e.keep
	if !k.usable() {
		if finish == nil {
			done(errNoStore)
			return
		}
		c.p.Offload(finish, c.later(func() { done(errNoStore) }))
		return
	}
	pending, events := k.pending, k.events
	snapshot, told := e.snapshot(nil), e.ledger
	k.stop()
	var err error
	var bytes int64
	c.p.Offload(func() {
		if finish != nil {
			finish()
		}
		if records != nil {
			pending = records(pending)
		}
		if err = k.write(func(q *store.Queue) error { return q.Append(pending, snapshot) }); err == nil {
			bytes = k.q.Bytes()
		}
	}, c.later(func() {
		c.kept(e, events, told, err, bytes)
		done(err)
		c.trim(e)
	}))
}

// trim writes the log of an epoch anew when most of it is over. A batch whose bytes are not final yet is
// waited for: its record may be on its way into the log that would be replaced.
func (c *core) trim(e *epoch) {
	k := &e.keep
	slack := c.eff.QueueBytesMax/16 + 196_608
	if !k.usable() || c.ended || k.bytes <= c.bytesOf(e)+slack {
		return
	}
	for class := range c.sealed {
		for _, b := range c.sealed[class] {
			if b.epoch == e && b.busy && !b.ready {
				return
			}
		}
	}
	c.rewrite(e)
}

// write is how a log is appended to: never behind a write that failed.
func (k *keeper) write(append func(*store.Queue) error) error {
	switch {
	case k.failed != nil:
	case k.q == nil:
		k.failed = errNoStore
	default:
		k.failed = append(k.q)
	}
	return k.failed
}

// kept notes what became of a write.
func (c *core) kept(e *epoch, events []*event, told rules.Report, err error, bytes int64) {
	k := &e.keep
	if err == nil {
		k.told = told
		for _, ev := range events {
			ev.kept = true
		}
		k.bytes = bytes
		return
	}
	if !k.on || k.broken != nil {
		return
	}
	if errors.Is(err, store.ErrLost) {
		c.warnOnce(dropKey{"claim", 0}, "the claim on the queue was lost", "error", err)
		c.abandon(e)
		return
	}
	c.storeRefused(e, err)
}

// storeRefused goes on without the store, and tries again once a minute (R116).
func (c *core) storeRefused(e *epoch, err error) {
	k := &e.keep
	k.broken = err
	k.stop()
	c.warnOnce(dropKey{"store", 0}, "the store cannot be written", "error", err)
	k.cancel = c.p.Timer(storeRetryMS, c.later(func() {
		k.cancel = nil
		if k.on {
			c.rewrite(e)
		}
	}))
	if k.behind() && !c.finishing {
		c.part(e)
	}
}

// bytesOf is the size of what an epoch holds.
func (c *core) bytesOf(e *epoch) int64 {
	if e == c.epoch && len(c.older) == 0 {
		return c.used
	}
	var sum int64
	c.each(e, func(ev *event) { sum += ev.size() })
	return sum
}

func (c *core) each(e *epoch, visit func(*event)) {
	for class := range c.queue {
		q := &c.queue[class]
		for i := 0; i < q.Len(); i++ {
			if q.at(i).epoch == e {
				visit(q.at(i))
			}
		}
		for _, b := range c.sealed[class] {
			if b.epoch == e {
				for _, ev := range b.events {
					visit(ev)
				}
			}
		}
	}
}

// content is everything of an epoch that lives, as a fresh log, and what will be in the store with it.
func (c *core) content(e *epoch) (log []byte, events []*event, batches []*batch) {
	log = store.Head(nil, e.id)
	if reserved := e.keep.reserved; reserved > 0 {
		log = store.Reserve(log, reserved)
	}
	c.each(e, func(ev *event) { events = append(events, ev) })
	sort.Slice(events, func(i, j int) bool { return events[i].seq < events[j].seq })
	sealed := map[*event]bool{}
	for class := range c.sealed {
		for _, b := range c.sealed[class] {
			if b.epoch == e && b.ready && b.count() > 0 {
				batches = append(batches, b)
				for _, ev := range b.events {
					sealed[ev] = true
				}
			}
		}
	}
	for _, ev := range events {
		if !sealed[ev] {
			log = store.Admitted(log, ev.class, ev.ageAt, ev.seq, ev.ts, ev.line)
		}
	}
	for _, b := range batches {
		log = store.Sealed(log, b.id, b.class, b.attempt-1, b.unanswered, b.body)
		if !b.inFlight && !b.busy {
			log = store.Waiting(log, b.id, b.attempt-1, b.unanswered)
		}
	}
	return e.snapshot(log), events, batches
}

// rewrite replaces the log of an epoch, or makes it.
func (c *core) rewrite(e *epoch) {
	k := &e.keep
	k.stop()
	k.broken = nil
	if reserved := k.reserved; e.seq > 0 || k.asked != nil {
		k.reserved = blockOf(e.seq)
		defer func() { k.reserved = reserved }() // until it is there
	}
	log, events, batches := c.content(e)
	told, reserved := e.ledger, k.reserved
	for _, b := range batches {
		b.stored = true
	}
	var err error
	var bytes int64
	c.p.Offload(func() {
		err = c.rewriteLog(e, log)
		if k.q != nil {
			bytes = k.q.Bytes()
		}
	}, c.later(func() {
		if err != nil {
			for _, b := range batches {
				b.stored = false
			}
		} else if k.reserved < reserved {
			k.reserved = reserved
		}
		c.kept(e, events, told, err, bytes)
	}))
}

// rewriteLog runs off the client's goroutine.
func (c *core) rewriteLog(e *epoch, log []byte) error {
	k := &e.keep
	if k.q != nil {
		k.failed = k.q.Rewrite(log)
	} else {
		k.q, k.failed = c.store.NewQueue(e.id, log)
	}
	return k.failed
}

// erase deletes the queue of an epoch.
func (c *core) erase(e *epoch) {
	k := &e.keep
	k.stop()
	if k.on {
		k.on = false
		c.p.Offload(func() {
			if k.q != nil {
				k.q.Close(true)
				k.q = nil
			}
		}, func() {})
	}
}

// recover takes over queues whose holders are dead (R112, R114).
func (c *core) recover() {
	most := c.eff.QueueBytesMax
	var claimed []store.Claimed
	var warnings []error
	c.recovering = true
	// It may take long; a block of numbers must not wait for it (R111).
	c.p.Aside(func() {
		var found int64
		more := func() bool {
			found = 0
			for _, one := range claimed {
				found += one.Queue.Bytes()
			}
			return found <= most
		}
		claimed = c.store.ClaimDead(more, func(what string, err error) {
			warnings = append(warnings, errors.New(what+": "+err.Error()))
		})
		if c.over.Load() { // nobody will take them in
			for _, one := range claimed {
				one.Queue.Close(false)
			}
			claimed = nil
		}
	}, c.later(func() {
		c.recovering = false
		for _, warning := range warnings {
			c.warnOnce(dropKey{"recover", 0}, "the store has a problem", "error", warning)
		}
		var fresh [3][]*event
		for _, one := range claimed {
			c.adopt(one, &fresh)
		}
		for class := range fresh {
			c.queue[class].front(fresh[class])
		}
		c.shrink()
		if c.killedMS() > 0 && c.eff.Purge {
			c.purge()
		}
	}))
}

// adopt goes on with a queue that was found.
func (c *core) adopt(one store.Claimed, fresh *[3][]*event) {
	f := one.Found
	e := &epoch{id: f.Epoch, ledger: f.Ledger, seq: f.Ledger.Admitted, older: true}
	e.keep.q, e.keep.on, e.keep.bytes = one.Queue, true, one.Queue.Bytes()
	e.keep.told, e.keep.reserved = f.Ledger, f.Reserved
	e.ledger.N++                                                // the former holder may have used one more than it could write (R116)
	if f.Ledger.Tracked == 0 && f.Reserved == 0 || c.optedOut { // nothing to tell, or nothing that may be told (R135)
		c.erase(e)
		return
	}
	c.older = append(c.older, e)
	c.tell(rules.PostReasons[postStoreError], 1, int(f.Missing))
	load := func(found store.Event) *event {
		ev := &event{epoch: e, class: found.Class, seq: found.Seq, ts: found.TS, line: found.Line,
			ageAt: found.AgeAt, aged: found.Aged, recovered: true, kept: true, order: c.nextOrder()}
		c.used += ev.size()
		return ev
	}
	for _, found := range f.Batches {
		b := &batch{id: found.ID, epoch: e, class: found.Class, body: found.Body, ready: true, stored: true,
			attempt: found.Attempt + 1, unanswered: found.Unanswered, recovered: true}
		b.gzip = len(b.body) > 1 && b.body[0] == 0x1F && b.body[1] == 0x8B
		for _, event := range found.Events {
			b.events = append(b.events, load(event))
		}
		c.sealed[b.class] = append(c.sealed[b.class], b)
	}
	for _, event := range f.Events {
		fresh[event.Class] = append(fresh[event.Class], load(event))
	}
	c.changed(e)
}

// abandon forgets an epoch whose claim was lost: its new holder counts it (R113).
func (c *core) abandon(e *epoch) {
	e.keep.stop()
	e.keep.on = false
	k := &e.keep
	c.p.Offload(func() {
		if k.q != nil {
			k.q.Close(false)
			k.q = nil
		}
	}, func() {})
	c.clear(e)
	if e == c.epoch {
		c.newEpoch()
	} else {
		c.removeOlder(e)
	}
}

// clear takes everything of an epoch out of memory without counting it.
func (c *core) clear(e *epoch) (counts [3]int) {
	for class := range c.queue {
		for _, ev := range c.queue[class].remove(func(ev *event) bool { return ev.epoch == e }) {
			c.left(ev)
			counts[class]++
		}
		for _, b := range append([]*batch(nil), c.sealed[class]...) {
			if b.epoch != e {
				continue
			}
			c.stopRequest(b)
			c.forget(b)
			c.undrain(b)
			counts[class] += b.count()
		}
	}
	e.ledger.Held = 0
	return counts
}

func (c *core) stopRequest(b *batch) {
	if b.inFlight {
		b.inFlight = false
		b.cancel()
		b.abort()
		b.unanswered = true
	}
}

func (c *core) removeOlder(e *epoch) {
	for i, other := range c.older {
		if other == e {
			c.older = append(c.older[:i:i], c.older[i+1:]...)
			return
		}
	}
}

// newEpoch begins a life (R106).
func (c *core) newEpoch() {
	c.epoch = &epoch{id: c.newID()}
	if c.store != nil && !c.optedOut {
		c.epoch.keep.on = true
		c.rewrite(c.epoch)
	}
}

// endEpoch: the last report of an epoch is acknowledged, so its queue can go (R114).
func (c *core) endEpoch(e *epoch) { c.closeEpoch(e, true) }

func (c *core) closeEpoch(e *epoch, acknowledged bool) {
	e.closed = true
	if acknowledged {
		c.erase(e)
	}
	if e.older {
		c.removeOlder(e)
		if !acknowledged {
			k := &e.keep
			k.stop()
			k.on = false
			c.p.Offload(func() { k.q.Close(false) }, func() {})
		}
	}
}
