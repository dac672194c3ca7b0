package tidegate

import (
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

// classOf is the class of a call (R50). asked below 0 stands for none.
func (c *core) classOf(kind string, asked int) int {
	if class, ok := c.eff.Classes[kind]; ok {
		return class
	}
	if asked >= 0 && asked <= 2 {
		return asked
	}
	if class, ok := c.eff.Classes["*"]; ok {
		return class
	}
	return 1
}

// gate is what stops every event (R51-R53).
func (c *core) gate() (reason int, stops bool) {
	switch {
	case c.closed:
		return preClosed, true
	case c.optedOut:
		return preNoConsent, true
	case c.killedMS() > 0:
		return preKilled, true
	}
	return 0, false
}

// track passes an event through the gates in their order. Writing the line and the host's hook happen
// outside of the lock; what they decide is counted in the epoch that is current then.
func (c *core) track(kind string, props any, asked int) {
	draft, ok := c.begin(kind, asked)
	if !ok {
		return
	}
	if !rules.ValidName(kind) || !mapLike(props) { // R54
		c.refused(preInvalid, draft.class)
		return
	}
	if !c.made(&draft, kind) {
		return
	}
	if c.hook.before != nil {
		changed, reason, ok := c.askHook(kind, props, draft.class)
		if !ok {
			c.refused(reason, draft.class)
			return
		}
		kind, props, draft.class = changed.Type, changed.Props, int(changed.Class)
	}
	line, err := rules.NewLine(draft.id, draft.wall, kind, draft.weight, props, c.opt.eventBytesMax)
	if err != nil {
		reason := preInvalid
		if err == rules.ErrTooLarge {
			reason = preTooLarge
		}
		c.refused(reason, draft.class)
		return
	}
	c.admit(draft, line)
}

// draft is an event on its way through the gates.
type draft struct {
	class  int
	id     string
	wall   int64
	mono   int64
	weight float64
}

func (c *core) begin(kind string, asked int) (draft, bool) {
	nested := c.hook.nested()
	c.enter()
	defer c.leave()
	d := draft{class: c.classOf(kind, asked), weight: 1}
	if reason, stops := c.gate(); stops {
		c.refuse(reason, d.class)
		return d, false
	}
	if nested { // R59: counted, and not told
		c.epoch.pre(preCallbackError, d.class)
		c.changed(c.epoch)
		return d, false
	}
	return d, true
}

func (c *core) refused(reason, class int) {
	c.enter()
	defer c.leave()
	c.refuse(reason, class)
}

// made gives the event its id and times (R55), samples it (R56) and asks the rate limit (R57).
func (c *core) made(d *draft, kind string) bool {
	c.enter()
	defer c.leave()
	d.id, d.wall, d.mono = c.newID(), c.p.WallMS(), c.now()
	rate := rules.RateOf(kind, d.class, c.eff.SampleLocal, c.eff.SampleRemote, c.factors())
	unit := c.instance
	if c.eff.SampleByID {
		unit = d.id
	}
	if !rules.Keep(unit, kind, rate) {
		c.refuse(preSampled, d.class)
		return false
	}
	d.weight = rules.Weight(rate)
	if !c.bucket.Take(d.mono, d.class) {
		c.refuse(preRateLimited, d.class)
		return false
	}
	return true
}

// askHook gives the host's hook a copy of its own (R58).
func (c *core) askHook(kind string, props any, class int) (out *Event, reason int, ok bool) {
	copied, err := copyProps(props)
	if err != nil {
		return nil, preInvalid, false
	}
	back := c.hook.guarded("before_send", func() {
		out = c.hook.before(&Event{Type: kind, Props: copied, Class: Class(class)})
	})
	switch {
	case !back:
		return nil, preCallbackError, false
	case out == nil:
		return nil, preBeforeSend, false
	case !rules.ValidName(out.Type):
		return nil, preCallbackError, false
	}
	if out.Class < Critical || out.Class > Bulk {
		out.Class = Class(class)
	}
	return out, 0, true
}

// admit puts a written event into the queue, if there is room (R63, R70-R72).
func (c *core) admit(d draft, line rules.Line) {
	c.enter()
	defer c.leave()
	if reason, stops := c.gate(); stops { // it may have changed while the line was written
		c.refuse(reason, d.class)
		return
	}
	e := c.numbered()
	length := line.Len(e.next())
	if length > c.opt.eventBytesMax {
		c.refuse(preTooLarge, d.class)
		return
	}
	size := int64(length) + 1
	if c.used+size > c.eff.QueueBytesMax {
		admitted, evicted := rules.Choose(c.sizes(), c.used, d.class, size, c.eff.QueueBytesMax, c.eff.Floors)
		if !admitted {
			c.refuse(preRefusedFull, d.class)
			return
		}
		c.evict(evicted)
	}
	ev := &event{epoch: e, class: d.class, ts: d.wall, mono: d.mono, order: c.nextOrder()}
	ev.seq = e.admit()
	ev.line, ev.ageAt = line.With(ev.seq)
	c.queue[d.class].push(ev)
	c.used += ev.size()
	c.record(e, ev, func(b []byte) []byte {
		return store.Admitted(b, ev.class, ev.ageAt, ev.seq, ev.ts, ev.line)
	})
	q := &c.queue[d.class]
	full := int64(q.Len()) == c.eff.BatchEventsMax || q.bytes >= c.eff.BatchBytesMax && q.bytes-size < c.eff.BatchBytesMax
	if full || q.Len() == 1 || c.armedFor > d.mono+c.eff.BatchMS {
		c.wake()
	}
}

func (c *core) nextOrder() uint64 {
	c.orders++
	return c.orders
}

func (c *core) sizes() [3]rules.Sizes {
	return [3]rules.Sizes{&c.queue[0], &c.queue[1], &c.queue[2]}
}

// evict drops the oldest of each class as queue_full.
func (c *core) evict(counts [3]int) {
	for class := 2; class >= 0; class-- {
		if counts[class] > 0 {
			c.dropQueued(c.queue[class].pop(counts[class]), postQueueFull)
		}
	}
}

// dropQueued counts events that were taken from a queue, by epoch and class. Queued events were never
// in a send, so R104 has nothing to say about them.
func (c *core) dropQueued(events []*event, reason int) {
	for len(events) > 0 {
		e, class := events[0].epoch, events[0].class
		n := 0
		var seqs []int64
		for n < len(events) && events[n].epoch == e && events[n].class == class {
			c.left(events[n])
			seqs = append(seqs, events[n].seq)
			n++
		}
		c.gone(e, reason, class, n)
		c.record(e, nil, func(b []byte) []byte { return store.Dropped(b, reason, class, seqs) })
		events = events[n:]
	}
}

// left takes an event out of the books that are kept by event.
func (c *core) left(ev *event) {
	c.used -= ev.size()
	for _, call := range c.flushes {
		if ev.order <= call.cover {
			call.left--
		}
	}
}
