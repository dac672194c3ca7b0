package tidegate

// pump does everything that can be done now, then sets the timer for what comes next.
func (c *core) pump() {
	if c.ended {
		return
	}
	c.fetchIfDue()
	for c.step() {
	}
	c.checkCalls()
	if c.ended {
		return
	}
	c.arm()
}

// held is everything that is queued or sealed, of all epochs.
func (c *core) held() int64 {
	sum := c.epoch.ledger.Held
	for _, e := range c.older {
		sum += e.ledger.Held
	}
	return sum
}

// maySend says whether anything may be sent at all.
func (c *core) maySend(now int64) bool {
	return !c.finishing && !c.optedOut && c.killedMS() == 0 && now >= c.clientPause
}

// step begins one send, or seals one batch for it (R77). It says whether there may be more to do.
func (c *core) step() bool {
	now := c.now()
	if !c.maySend(now) {
		return false
	}
	switch c.breaker.state {
	case probing:
		return false
	case open:
		if now < c.breaker.until {
			return false
		}
		b := c.pickProbe(now)
		if b == nil {
			return false
		}
		c.breaker.state, c.breaker.probe = probing, b
		c.beginSend(b)
		return false
	}
	if c.drain != nil {
		if c.drain.over(now) {
			c.drain = nil
		} else if !c.drain.free() {
			return false
		}
	}
	for class := 0; class < 3; class++ {
		if now < c.delayUntil[class] {
			continue
		}
		if b := c.sendable(class, now); b != nil {
			c.beginSend(b)
			return true
		}
	}
	return false
}

// pickProbe chooses what asks whether the gateway is back (R86).
func (c *core) pickProbe(now int64) *batch {
	var best *batch
	for class := 0; class < 3; class++ {
		if now < c.pauseUntil[class] {
			continue
		}
		if b := c.waiting(class); b != nil && (best == nil || b.attempt < best.attempt) {
			best = b
		}
	}
	for class := 0; class < 3 && best == nil; class++ {
		best = c.sendable(class, now)
	}
	return best
}

// waiting is the sealed batch of a class that is next, if it can be sent.
func (c *core) waiting(class int) *batch {
	for len(c.sealed[class]) > 0 {
		b := c.sealed[class][0]
		if b.busy {
			return nil
		}
		if !c.batchExpired(b) {
			return b
		}
		c.expireBatch(b)
	}
	return nil
}

// sendable is the next batch of a class: one that waits, or one that is sealed now.
func (c *core) sendable(class int, now int64) *batch {
	if now < c.pauseUntil[class] {
		return nil
	}
	if b := c.waiting(class); b != nil || len(c.sealed[class]) > 0 {
		return b
	}
	c.expireQueue(class)
	var b *batch
	if class == 1 {
		b = c.lastReport()
	}
	if b == nil && c.due(class, now) {
		b = c.seal(class)
	}
	if b == nil && class == 1 && c.reportDue(now) {
		b = c.newBatch(c.epoch, 1, nil, false)
	}
	if b != nil {
		c.sealed[class] = append(c.sealed[class], b)
	}
	return b
}

// due says whether queued events want to be sent (R76).
func (c *core) due(class int, now int64) bool {
	q := &c.queue[class]
	if q.Len() == 0 {
		return false
	}
	first := q.at(0)
	return first.recovered || first.order <= c.cover || int64(q.Len()) >= c.eff.BatchEventsMax ||
		q.bytes >= c.eff.BatchBytesMax || now >= c.dueAt(class)
}

// dueAt is when the oldest event has waited long enough. Under pressure that is later (R96).
func (c *core) dueAt(class int) int64 {
	wait := c.eff.BatchMS
	if class > 0 {
		wait <<= c.level()
	}
	return c.queue[class].at(0).mono + wait
}

// lastReport closes an epoch: a recovered one of which nothing is held any more (R114), or the current
// one at a clean close (R131).
func (c *core) lastReport() *batch {
	for _, e := range c.older {
		if e.over() {
			e.finSent = true
			return c.newBatch(e, 1, nil, true)
		}
	}
	if c.closing != nil && c.held() == 0 && c.epoch.ledger.Tracked > 0 && !c.epoch.finSent {
		c.epoch.finSent = true
		return c.newBatch(c.epoch, 1, nil, true)
	}
	return nil
}

// reportDue says whether a report has to go alone (R107).
func (c *core) reportDue(now int64) bool {
	return c.closing == nil && now-c.lastSend >= reportMS && !c.epoch.ledger.Same(c.epoch.acked)
}

// arm sets the one timer of the sender.
func (c *core) arm() {
	now := c.now()
	next := int64(-1)
	at := func(times ...int64) {
		latest := now + 1
		for _, t := range times {
			if t > latest {
				latest = t
			}
		}
		if next < 0 || latest < next {
			next = latest
		}
	}
	if c.conf.need && !c.conf.busy {
		at(c.conf.began + fetchMS)
	}
	if ms := c.killedMS(); ms > 0 {
		if c.held() > 0 {
			at(now + ms)
		}
	} else if !c.finishing && !c.optedOut {
		c.armSends(now, at)
	}
	if next == c.armedFor && next >= 0 {
		return
	}
	if c.cancelTimer != nil {
		c.cancelTimer()
		c.cancelTimer = nil
	}
	c.armedFor = 0
	if next >= 0 {
		c.armedFor = next
		c.cancelTimer = c.p.Timer(next-now, c.later(func() { c.armedFor, c.cancelTimer = 0, nil }))
	}
}

// armSends finds out when the sender has something to do again. Whatever is due already and was not
// begun waits for a reply, so only times to come count.
func (c *core) armSends(now int64, at func(...int64)) {
	held := int64(0)
	switch {
	case c.breaker.state == probing:
		return
	case c.breaker.state == open:
		held = c.breaker.until
	case c.drain != nil && !c.drain.free():
		next, known := c.drain.next()
		if !known {
			return
		}
		held = next
	}
	for class := 0; class < 3; class++ {
		delay := c.delayUntil[class]
		if c.breaker.state == open {
			delay = 0
		}
		gates := []int64{held, c.clientPause, c.pauseUntil[class], delay}
		wanted := int64(-1)
		switch {
		case len(c.sealed[class]) > 0:
			if !c.sealed[class][0].busy {
				wanted = now
			}
		case c.queue[class].Len() > 0:
			wanted = now
			if !c.due(class, now) {
				wanted = c.dueAt(class)
				if c.level() > 0 && class > 0 && c.pressureAt+pressureMS < wanted {
					wanted = c.pressureAt + pressureMS
				}
			}
		case class == 1 && c.finWanted():
			wanted = now
		case class == 1 && c.closing == nil && !c.epoch.ledger.Same(c.epoch.acked):
			wanted = c.lastSend + reportMS
		}
		if wanted < 0 {
			continue
		}
		latest := wanted
		for _, gate := range gates {
			if gate > latest {
				latest = gate
			}
		}
		if latest > now {
			at(latest)
		}
	}
}

func (c *core) finWanted() bool {
	for _, e := range c.older {
		if e.over() {
			return true
		}
	}
	return c.closing != nil && c.held() == 0 && c.epoch.ledger.Tracked > 0 && !c.epoch.finSent
}
