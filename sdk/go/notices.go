package tidegate

import (
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/sdk/go/internal/own"
	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// hooks are the host's functions, called with care: what they throw is swallowed, and a Track from
// inside of one is noticed (R59).
type hooks struct {
	before func(*Event) *Event
	drop   func(string, Class, int)

	active   atomic.Int64
	mu       sync.Mutex
	inside   map[int64]int
	complain func(string)
}

// goroutine is the number of the calling goroutine. It is asked for only while a hook runs.
func goroutine() int64 {
	var buf [64]byte
	text := strings.TrimPrefix(string(buf[:runtime.Stack(buf[:], false)]), "goroutine ")
	number, _, _ := strings.Cut(text, " ")
	id, _ := strconv.ParseInt(number, 10, 64)
	return id
}

// nested says whether the caller is inside of a hook.
func (h *hooks) nested() bool {
	if h.active.Load() == 0 {
		return false
	}
	id := goroutine()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inside[id] > 0
}

// guarded runs a hook. It says whether it came back.
func (h *hooks) guarded(name string, f func()) (ok bool) {
	id := goroutine()
	h.mu.Lock()
	if h.inside == nil {
		h.inside = map[int64]int{}
	}
	h.inside[id]++
	h.mu.Unlock()
	h.active.Add(1)
	defer func() {
		what := recover()
		h.active.Add(-1)
		h.mu.Lock()
		if h.inside[id]--; h.inside[id] == 0 {
			delete(h.inside, id)
		}
		h.mu.Unlock()
		if what != nil || !ok {
			ok = false
			h.complain(name)
		}
	}()
	f()
	return true
}

// warner writes to the platform's logging, marked as our own, so that it is never tracked (R33).
type warner struct{ logger *slog.Logger }

func (w warner) warn(message string, arguments ...any) {
	defer func() { _ = recover() }() // a handler of the host's
	logger := w.logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.WarnContext(own.Mark(context.Background()), "tidegate: "+message, arguments...)
}

// warnOnce logs once per episode (R33).
func (c *core) warnOnce(key dropKey, message string, arguments ...any) {
	last, known := c.lastDrop[key]
	c.lastDrop[key] = c.now()
	if known && c.now()-last < quietMS {
		return
	}
	c.notices = append(c.notices, func() { c.log.warn(message, arguments...) })
}

// tell offers a drop to on_drop, after the lock is released (R62).
func (c *core) tell(reason string, class, count int) {
	if count == 0 {
		return
	}
	c.warnOnce(dropKey{reason, class}, "events are dropped", "reason", reason, "class", class, "count", count)
	if c.hook.drop != nil {
		c.notices = append(c.notices, func() {
			c.hook.guarded("on_drop", func() { c.hook.drop(reason, Class(class), count) })
		})
	}
}

// refuse counts a call of Track that passed no further (R53-R63).
func (c *core) refuse(reason, class int) {
	c.epoch.pre(reason, class)
	c.changed(c.epoch)
	c.tell(rules.PreReasons[reason], class, 1)
}

// gone counts events of one class and epoch that left the queue by any way but acked.
func (c *core) gone(e *epoch, reason, class, count int) {
	e.post(reason, class, count)
	c.tell(rules.PostReasons[reason], class, count)
}
