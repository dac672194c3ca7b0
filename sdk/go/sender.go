package tidegate

import (
	"strconv"

	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
	"github.com/tidegate/tidegate/sdk/go/internal/store"
)

// beginSend makes a batch's bytes final and keeps it (R79), off the client's goroutine, then sends it.
func (c *core) beginSend(b *batch) {
	b.busy = true
	if c.drain != nil {
		c.drain.take(c.now())
		b.drained = true
	}
	stored := b.epoch.keep.usable()
	if b.ready && !stored {
		c.sendNow(b)
		return
	}
	if !stored && len(b.plain) < c.opt.gzipBytesMin {
		b.body, b.plain, b.ready = b.plain, nil, true
		c.sendNow(b)
		return
	}
	finish := func() {
		if !b.ready {
			b.compress(c.opt.gzipBytesMin)
		}
	}
	isKnown := b.stored
	records := func(buf []byte) []byte {
		switch {
		case b.count() == 0:
			return buf // the snapshot keeps n; a report alone is made anew after a crash
		case !isKnown:
			return store.Sealed(buf, b.id, b.class, b.attempt, b.unanswered, b.body)
		}
		return store.Sending(buf, b.id, b.attempt)
	}
	c.keepNow(b.epoch, finish, records, func(err error) {
		b.ready = true
		b.stored = b.stored || err == nil && b.count() > 0
		c.sendNow(b)
	})
}

// sendNow sends a batch that is ready, if that is still allowed; else it waits.
func (c *core) sendNow(b *batch) {
	now := c.now()
	probe := c.breaker.probe == b
	allowed := !b.gone && c.maySend(now) && now >= c.pauseUntil[b.class] && (c.breaker.state == closed || probe)
	if !allowed {
		b.busy = false
		c.undrain(b)
		if probe {
			c.breaker.opens(c.breaker.until)
		}
		return
	}
	if b.attempt == 0 && b.stored {
		c.p.Point("sealed")
	}
	b.inFlight, b.sentAt = true, now
	b.serial++
	serial := b.serial
	c.lastSend = now
	request := c.request(b, now)
	b.attempt++
	b.abort = c.p.HTTP(request, func(reply platform.Reply) {
		c.later(func() {
			if !b.gone && b.inFlight && b.serial == serial {
				c.reply(b, reply)
			}
		})()
	})
	b.cancel = c.p.Timer(c.opt.requestTimeoutMS, c.later(func() { // R83
		if !b.gone && b.inFlight && b.serial == serial {
			b.abort()
			c.reply(b, platform.Reply{})
		}
	}))
	c.p.Point("sent")
}

func (c *core) undrain(b *batch) {
	if b.drained && c.drain != nil {
		c.drain.used--
		c.drain.waiting--
	}
	b.drained = false
}

// request writes the query and headers (R1-R4).
func (c *core) request(b *batch, now int64) platform.Request {
	url := c.opt.endpoint + "/v1/batch?"
	if !c.opt.secret() {
		url += "key=" + escape(c.opt.key) + "&"
	}
	url += "class=" + strconv.Itoa(b.class) + "&attempt=" + strconv.Itoa(b.attempt)
	if wall := c.p.WallMS(); wall >= 0 && wall <= rules.IntegerMax {
		url += "&sent=" + strconv.FormatInt(wall, 10)
	}
	if !b.recovered {
		url += "&wait=" + strconv.FormatInt(now-b.sealedAt, 10)
	}
	header := append(c.headers(), [2]string{"Content-Type", "application/x-ndjson"})
	if b.gzip {
		header = append(header, [2]string{"Content-Encoding", "gzip"})
	}
	return platform.Request{Method: "POST", URL: url, Header: header, Body: b.body}
}

func (c *core) headers() [][2]string {
	header := [][2]string{{"User-Agent", "tidegate-" + sdkName}}
	if c.opt.secret() {
		header = append(header, [2]string{"Authorization", "Bearer " + c.opt.key})
	}
	return header
}

// reply does what a reply asks for.
func (c *core) reply(b *batch, reply platform.Reply) {
	b.cancel()
	b.inFlight, b.busy = false, false
	now := c.now()
	v := rules.Classify(reply.Status, reply.RetryAfter, reply.Body, b.id, b.count(), c.p.WallMS())
	wasProbe := c.breaker.probe == b
	if v.Act != rules.ActRetry {
		c.p.Point("reply")
	}
	if v.Speaks {
		c.pressure, c.pressureAt = v.Pressure, now
		for _, limit := range v.Limits { // the first to draw (R84)
			c.pauseClass(limit.Class, limit.MS, now)
		}
		if v.HasConfig && v.Config > c.eff.Config {
			c.conf.need = true
		}
	}
	if v.Act == rules.ActRetry {
		c.retry(b, v, wasProbe, now)
		return
	}
	c.classFails[b.class] = 0
	if b.drained && c.drain != nil {
		c.drain.waiting--
	}
	b.drained = false
	if c.breaker.closes() {
		c.drain = newDrain()
	}
	switch v.Act {
	case rules.ActSettled:
		c.settled(b, v)
	case rules.ActSplit:
		c.split(b)
	case rules.ActDropAndPause:
		c.clientPause = later(c.clientPause, now+rules.PauseMS(keyPauseMS, c.p.Unit()))
		c.dropBatch(b, postRejected4xx)
	default:
		c.dropBatch(b, postRejected4xx)
	}
}

func later(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

// pauseClass pauses one class (R24, R84). A shorter pause does not shorten a longer one.
func (c *core) pauseClass(class int, ms, now int64) {
	if ms == 0 {
		return
	}
	c.pauseUntil[class] = later(c.pauseUntil[class], now+rules.PauseMS(ms, c.p.Unit()))
}

// retry keeps a batch after a retryable reply or a network error (R80-R88).
func (c *core) retry(b *batch, v rules.Verdict, wasProbe bool, now int64) {
	if !v.Answered {
		b.unanswered = true
	}
	class := b.class
	c.classFails[class]++
	counts := true
	for _, limit := range v.Limits {
		if limit.Class == class {
			counts = false // a live gateway speaking (R85)
		}
	}
	n, opens := c.classFails[class]-1, false
	switch {
	case wasProbe:
		c.breaker.failed++
		n, opens = c.breaker.failed-1, true
	case c.breaker.state == closed && counts:
		if opens = c.breaker.fail(c.drain != nil); opens {
			n = c.breaker.failed - 1
		}
	}
	delay := rules.DelayMS(v.ServerMS, n, c.eff.RetryBaseMS, c.eff.RetryCapMS, c.p.Unit())
	c.delayUntil[class] = now + delay
	if opens {
		c.breaker.opens(now + delay)
		c.drain = nil
	} else if b.drained && c.drain != nil {
		c.drain.waiting--
	}
	b.drained = false
	if b.purge {
		c.dropBatch(b, postPurgedKill)
		return
	}
	if b.stored {
		c.record(b.epoch, nil, func(buf []byte) []byte {
			return store.Waiting(buf, b.id, b.attempt-1, b.unanswered)
		})
	}
}

// settled counts a batch that the gateway has taken (R15).
func (c *core) settled(b *batch, v rules.Verdict) {
	e := b.epoch
	c.filtered += v.Filtered
	c.rejected += v.Rejected
	e.settle(b.count())
	if b.report.N > e.acked.N {
		e.acked = b.report
	}
	c.forget(b)
	if b.count() > 0 {
		if e.keep.usable() {
			known := b.known(nil)
			record := func(buf []byte) []byte { return store.Settled(append(buf, known...), b.id, b.count()) }
			c.keepNow(e, nil, record, func(error) { c.p.Point("settled") })
		}
		return
	}
	if b.report.Fin {
		c.endEpoch(e)
	}
}

// known is a log that has the batch: its end takes its events with it, which may be there one by one.
func (b *batch) known(buf []byte) []byte {
	if b.stored {
		return buf
	}
	return store.Sealed(buf, b.id, b.class, b.attempt-1, b.unanswered, b.body)
}

// forget takes a batch off the books.
func (c *core) forget(b *batch) {
	b.gone, b.busy = true, false
	for i, other := range c.sealed[b.class] {
		if other == b {
			c.sealed[b.class] = append(c.sealed[b.class][:i:i], c.sealed[b.class][i+1:]...)
			break
		}
	}
	for _, ev := range b.events {
		c.left(ev)
	}
	if c.breaker.probe == b {
		c.breaker.opens(c.breaker.until)
	}
}

// dropBatch counts the events of a batch as dropped, as unconfirmed if one of its sends was not
// answered (R104).
func (c *core) dropBatch(b *batch, reason int) {
	if b.unanswered {
		reason = postUnconfirmed
	}
	busy := b.busy
	c.forget(b)
	if b.count() > 0 {
		c.gone(b.epoch, reason, b.class, b.count())
		c.recordDropped(b, reason, busy)
		return
	}
	// A report that is not wanted is not told again; a later start may try.
	if b.report.Fin && b.epoch.older {
		c.closeEpoch(b.epoch, false)
	} else if !b.report.Fin {
		b.epoch.acked = b.report
	}
}

// recordDropped takes a batch and its events out of the store.
func (c *core) recordDropped(b *batch, reason int, busy bool) {
	e := b.epoch
	switch {
	case b.ready:
		c.record(e, nil, func(buf []byte) []byte {
			return store.BatchDropped(b.known(buf), b.id, reason, b.class, b.count())
		})
	case busy && e.keep.usable(): // its record may be on its way, and its bytes are final behind that
		attempt, unanswered := b.attempt-1, b.unanswered
		c.keepNow(e, nil, func(buf []byte) []byte {
			buf = store.Sealed(buf, b.id, b.class, attempt, unanswered, b.body)
			return store.BatchDropped(buf, b.id, reason, b.class, b.count())
		}, func(error) {})
	default:
		seqs := make([]int64, 0, b.count())
		for _, ev := range b.events {
			seqs = append(seqs, ev.seq)
		}
		c.record(e, nil, func(buf []byte) []byte { return store.Dropped(buf, reason, b.class, seqs) })
	}
}

// split makes two of a batch that was too large (R18, R19).
func (c *core) split(b *batch) {
	switch b.count() {
	case 0: // it is told no more (R107)
		c.dropBatch(b, postRejected413)
		return
	case 1:
		c.dropBatch(b, postRejected413)
		return
	}
	middle := rules.Middle(b.count())
	var halves []*batch
	for _, events := range [][]*event{b.events[:middle], b.events[middle:]} {
		half := c.newBatch(b.epoch, b.class, events, false)
		half.sealedAt, half.recovered, half.unanswered = b.sealedAt, b.recovered, b.unanswered
		half.busy = true
		halves = append(halves, half)
	}
	rest := c.sealed[b.class]
	for i, other := range rest {
		if other == b {
			rest = append(rest[:i:i], rest[i+1:]...)
			break
		}
	}
	c.sealed[b.class] = append(halves, rest...)
	b.gone = true
	finish := func() {
		for _, half := range halves {
			half.compress(c.opt.gzipBytesMin)
		}
	}
	records := func(buf []byte) []byte {
		for _, half := range halves {
			buf = store.Sealed(buf, half.id, half.class, -1, half.unanswered, half.body)
			buf = store.Waiting(buf, half.id, -1, half.unanswered)
		}
		return store.Split(buf, b.id)
	}
	c.keepNow(b.epoch, finish, records, func(err error) {
		for _, half := range halves {
			half.ready, half.busy = true, false
			half.stored = err == nil && b.epoch.keep.usable()
		}
	})
}
