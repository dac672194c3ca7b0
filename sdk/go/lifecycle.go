package tidegate

import (
	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

// newCore makes a client (R31, R41). Only the few small files of a store are read here; queues are
// made and recovered off the caller's goroutine.
func newCore(o Options, p platform.Platform) (*core, error) {
	settings, err := check(&o)
	if err != nil {
		return nil, err
	}
	c := &core{p: p, opt: settings, lastDrop: map[dropKey]int64{}}
	c.log = warner{o.Logger}
	c.hook.before, c.hook.drop = o.BeforeSend, o.OnDrop
	c.hook.complain = func(name string) { c.log.warn("a hook panicked", "hook", name) }
	c.enter()
	defer c.leave()
	for _, warning := range settings.warnings {
		c.warnOnce(dropKey{warning, 0}, warning)
	}
	c.instance, c.optedOut = settings.instance, o.OptedOut
	if o.StoreDir != "" {
		c.openStore(o.StoreDir)
	}
	if c.instance == "" {
		c.instance = rules.UUID4(p.U64(), p.U64())
	}
	c.lastSend = c.now()
	c.apply()
	c.newEpoch()
	if c.store != nil {
		c.recover()
	}
	if !c.optedOut {
		c.conf.need = true
	}
	c.wake()
	return c, nil
}

// openStore reads what a store remembers. A store that cannot be used is done without (R115, R117).
func (c *core) openStore(dir string) {
	env := store.Env{Fault: c.p.DiskFault}
	if _, production := c.p.(*platform.Real); !production {
		env.Point = c.p.Point
	}
	opened, err := store.Open(dir, env)
	if err != nil {
		c.warnOnce(dropKey{"store", 0}, "there is no store", "error", err)
		return
	}
	c.store = opened
	if consent, ok := opened.Read("consent"); ok { // R136
		c.optedOut = string(consent) == "out"
	}
	if c.instance == "" { // R42
		if made, ok := opened.Read("instance"); ok && rules.ValidName(string(made)) {
			c.instance = string(made)
		} else {
			c.instance = rules.UUID4(c.p.U64(), c.p.U64())
			instance := c.instance
			c.p.Offload(func() { _ = opened.Write("instance", []byte(instance)) }, func() {})
		}
	}
	if text, ok := opened.Read("config"); ok {
		c.remembered(text)
	}
}

// flushCall is a flush that waits (R130).
type flushCall struct {
	cover  uint64
	left   int64 // covered events that are still held
	done   func(bool)
	cancel func()
}

const callMSMax = 600_000

// flush makes everything due; done is told how it ended, exactly once. The returned function gives up.
func (c *core) flush(ms int64, done func(bool)) (giveUp func()) {
	c.enter()
	defer c.leave()
	if !c.ended {
		c.expire()
	}
	held := c.held()
	if held == 0 || c.closed || c.optedOut || c.killedMS() > 0 || ms <= 0 {
		if !c.closed {
			c.cover = c.orders
			c.wake()
		}
		c.notices = append(c.notices, func() { done(held == 0) })
		return func() {}
	}
	if ms > callMSMax {
		ms = callMSMax
	}
	c.cover = c.orders
	call := &flushCall{cover: c.cover, left: held, done: done}
	c.flushes = append(c.flushes, call)
	end := c.later(func() { c.endFlush(call, false) })
	call.cancel = c.p.Timer(ms, end)
	c.wake()
	return end
}

func (c *core) endFlush(call *flushCall, result bool) {
	for i, other := range c.flushes {
		if other == call {
			c.flushes = append(c.flushes[:i:i], c.flushes[i+1:]...)
			call.cancel()
			c.notices = append(c.notices, func() { call.done(result) })
			return
		}
	}
}

// closeCall is the one close of a client (R131).
type closeCall struct {
	waiting []func(bool)
	cancel  func()
	over    bool
	result  bool
	lost    int64
}

// close ends the client; a second call waits for the first.
func (c *core) close(ms int64, done func(bool)) (giveUp func()) {
	c.enter()
	defer c.leave()
	if c.closing != nil {
		if c.closing.over {
			result := c.closing.result
			c.notices = append(c.notices, func() { done(result) })
			return func() {}
		}
		c.closing.waiting = append(c.closing.waiting, done)
		return func() {}
	}
	if ms > callMSMax {
		ms = callMSMax
	}
	c.closed = true
	c.closing = &closeCall{waiting: []func(bool){done}, cancel: func() {}}
	c.stopFetch()
	c.expire()
	end := c.later(func() { c.finish() })
	if ms <= 0 {
		c.finish()
		return end
	}
	c.cover = c.orders
	c.closing.cancel = c.p.Timer(ms, end)
	c.wake()
	return end
}

// checkCalls ends flushes and the close that have what they waited for.
func (c *core) checkCalls() {
	stopped := c.optedOut || c.killedMS() > 0
	for _, call := range append([]*flushCall(nil), c.flushes...) {
		if call.left <= 0 || stopped {
			c.endFlush(call, call.left <= 0)
		}
	}
	if c.closing == nil || c.finishing || c.recovering {
		return
	}
	if stopped || c.held() == 0 && (c.epoch.ledger.Tracked == 0 || c.epoch.finSent) && !c.reporting() {
		c.finish()
	}
}

// reporting says whether a report alone is under way.
func (c *core) reporting() bool {
	return len(c.sealed[0])+len(c.sealed[1])+len(c.sealed[2]) > 0
}

// finish is the deadline of a close, or its early end: requests are aborted, what is held is kept in
// the store or counted (R131, R116).
func (c *core) finish() {
	if c.finishing {
		return
	}
	c.finishing = true
	c.over.Store(true)
	c.closing.cancel()
	for class := range c.sealed {
		for _, b := range c.sealed[class] {
			c.stopRequest(b)
		}
	}
	for _, call := range append([]*flushCall(nil), c.flushes...) {
		c.endFlush(call, false)
	}
	type last struct {
		e      *epoch
		log    []byte
		events []*event
		err    error
	}
	var all []*last
	for _, e := range append([]*epoch{c.epoch}, c.older...) {
		if !e.keep.on {
			continue
		}
		one := &last{e: e}
		// Of an epoch that was closed, or in which nothing ever happened, nothing is kept.
		if !e.closed && e.ledger.Tracked > 0 {
			one.log, one.events, _ = c.content(e)
		}
		all = append(all, one)
		e.keep.stop()
	}
	c.p.Offload(func() {
		for _, one := range all {
			if one.log != nil {
				one.err = c.rewriteLog(one.e, one.log)
			}
			if q := one.e.keep.q; q != nil {
				q.Close(one.log == nil)
				one.e.keep.q = nil
			}
		}
	}, c.later(func() {
		kept := map[*epoch]bool{}
		reasons := map[*epoch]int{}
		for _, one := range all {
			kept[one.e] = one.err == nil
			reasons[one.e] = postStoreError
			if store.Full(one.err) {
				reasons[one.e] = postStoreFull
			}
		}
		c.account(kept, reasons)
		c.end()
	}))
}

// account counts what is only in memory at the end.
func (c *core) account(kept map[*epoch]bool, reasons map[*epoch]int) {
	reasonOf := func(e *epoch) int {
		if reason, stored := reasons[e]; stored {
			return reason
		}
		return postShutdownTimeout
	}
	before := c.held()
	for class := range c.queue {
		q := &c.queue[class]
		for _, ev := range q.remove(func(ev *event) bool { return !kept[ev.epoch] && !ev.kept }) {
			c.dropQueued([]*event{ev}, reasonOf(ev.epoch))
		}
		for _, b := range append([]*batch(nil), c.sealed[class]...) {
			if b.count() > 0 && !kept[b.epoch] && !b.stored {
				c.dropBatch(b, reasonOf(b.epoch))
			}
		}
	}
	c.closing.lost = before - c.held()
}

// end tells everybody and stops everything. Nothing runs after it.
func (c *core) end() {
	c.ended = true
	c.closing.over = true
	c.closing.result = c.held() == 0 && c.closing.lost == 0
	result := c.closing.result
	if c.cancelTimer != nil {
		c.cancelTimer()
	}
	for _, e := range append([]*epoch{c.epoch}, c.older...) {
		e.keep.stop()
		e.keep.on = false
	}
	for _, done := range c.closing.waiting {
		tell := done
		c.notices = append(c.notices, func() { tell(result) })
	}
	c.p.Close()
}

// optOut erases everything and sends nothing any more (R135). saved is called when the store knows.
func (c *core) optOut(saved func()) {
	c.enter()
	defer c.leave()
	if c.optedOut || c.finishing {
		c.notices = append(c.notices, saved)
		return
	}
	c.optedOut = true
	c.stopFetch()
	c.conf.need = false
	var erased [3]int
	for _, e := range append([]*epoch{c.epoch}, c.older...) {
		for class, count := range c.clear(e) {
			erased[class] += count
		}
		c.erase(e)
	}
	c.older = nil
	for class, count := range erased {
		c.tell(rules.PreReasons[preNoConsent], class, count)
	}
	c.breaker, c.drain = breaker{}, nil
	c.newEpoch()
	c.saveConsent("out", saved)
	c.wake()
}

// optIn begins to send again (R136).
func (c *core) optIn(saved func()) {
	c.enter()
	defer c.leave()
	if !c.optedOut || c.closed {
		c.notices = append(c.notices, saved)
		return
	}
	c.optedOut = false
	c.newEpoch()
	if !c.conf.fetched {
		c.conf.need = true
	}
	c.saveConsent("in", saved)
	c.wake()
}

func (c *core) saveConsent(state string, saved func()) {
	if c.store == nil {
		c.notices = append(c.notices, saved)
		return
	}
	var err error
	c.p.Offload(func() { err = c.store.Write("consent", []byte(state)) }, c.later(func() {
		if err != nil {
			c.warnOnce(dropKey{"consent", 0}, "the state of consent cannot be kept", "error", err)
		}
		c.notices = append(c.notices, saved)
	}))
}
