package tidegate

import (
	"context"
	"runtime"
	"time"

	"github.com/tidegate/tidegate/sdk/go/internal/hook"
	"github.com/tidegate/tidegate/sdk/go/internal/platform"
)

// Client sends events. Its methods may be called from any goroutine; none of them panics.
type Client struct{ core *core }

// New makes a client. It returns at once and fails only with ErrKey or ErrEndpoint (R41).
func New(options Options) (*Client, error) { return newClient(options, platform.NewReal()) }

func newClient(options Options, p platform.Platform) (*Client, error) {
	core, err := newCore(options, p)
	if err != nil {
		return nil, err
	}
	client := &Client{core}
	// A client that nobody refers to any more ends by itself (R134).
	runtime.SetFinalizer(client, func(c *Client) { c.core.close(defaultCallMS, func(bool) {}) })
	return client, nil
}

// TrackOption changes one call of Track.
type TrackOption func(*trackOptions)

type trackOptions struct{ class int }

// WithClass says how important an event is. The configuration may know better.
func WithClass(class Class) TrackOption {
	return func(o *trackOptions) { o.class = int(class) }
}

// Track sends an event. props is nil, a map, a struct or a json.Marshaler that makes an object; it is
// written before Track returns, so it may be changed afterwards, but not meanwhile. What cannot be
// sent is counted and told to OnDrop.
func (c *Client) Track(kind string, props any, options ...TrackOption) {
	o := trackOptions{class: -1}
	for _, option := range options {
		if option != nil {
			option(&o)
		}
	}
	c.core.track(kind, props, o.class)
	runtime.KeepAlive(c)
}

const defaultCallMS = 5_000

// deadline is what a context leaves, 5 seconds without one.
func deadline(ctx context.Context) int64 {
	until, ok := ctx.Deadline()
	if !ok {
		return defaultCallMS
	}
	return time.Until(until).Milliseconds()
}

// Flush sends everything that is queued now and says whether all of it has left, before ctx ends or,
// if that has no deadline, within 5 seconds. What has not left is still held (R130).
func (c *Client) Flush(ctx context.Context) bool {
	done := make(chan bool, 1)
	giveUp := c.core.flush(deadline(ctx), func(result bool) { done <- result })
	return wait(ctx, c.core, done, giveUp)
}

// Close refuses new events, sends what is queued and ends everything that the client began. At the end
// of ctx, or after 5 seconds if that has no deadline, requests are aborted; what is held then stays in
// the store, if there is one. Close says whether nothing was held back or lost (R131).
func (c *Client) Close(ctx context.Context) bool {
	runtime.SetFinalizer(c, nil)
	done := make(chan bool, 1)
	giveUp := c.core.close(deadline(ctx), func(result bool) { done <- result })
	result := wait(ctx, c.core, done, giveUp)
	if !c.core.hook.nested() { // a hook that closes its client would wait for itself
		c.core.p.Wait()
	}
	return result
}

// wait ends with the call, or a moment after its context. Inside of a hook it does not wait at all,
// because the call may need the goroutine that the hook has.
func wait(ctx context.Context, c *core, done chan bool, giveUp func()) bool {
	if c.hook.nested() {
		select {
		case result := <-done:
			return result
		default:
			return false
		}
	}
	select {
	case result := <-done:
		return result
	case <-ctx.Done():
		giveUp()
		return <-done
	}
}

// OptOut erases everything that is held, also in the store, and sends nothing any more until OptIn. It
// has taken effect when it returns (R135).
func (c *Client) OptOut() { c.consent(c.core.optOut) }

// OptIn ends an opt-out. What was erased is gone (R136).
func (c *Client) OptIn() { c.consent(c.core.optIn) }

const consentWait = time.Second

// consent waits for the store, but not for ever.
func (c *Client) consent(change func(func())) {
	saved := make(chan struct{})
	change(func() { close(saved) })
	if c.core.hook.nested() {
		return
	}
	timer := time.NewTimer(consentWait)
	defer timer.Stop()
	select {
	case <-saved:
	case <-timer.C:
	}
}

// Stats says what became of every event.
func (c *Client) Stats() Stats {
	defer runtime.KeepAlive(c)
	return c.core.stats()
}

func init() {
	hook.New = func(options any, p platform.Platform) (any, error) {
		client, err := newClient(options.(Options), p)
		if err != nil {
			return nil, err
		}
		return client, nil
	}
	hook.BeginFlush = func(client any, ms int64, done func(bool)) { client.(*Client).core.flush(ms, done) }
	hook.BeginClose = func(client any, ms int64, done func(bool)) { client.(*Client).core.close(ms, done) }
	hook.OptOut = func(client any) { client.(*Client).core.optOut(func() {}) }
	hook.OptIn = func(client any) { client.(*Client).core.optIn(func() {}) }
}
