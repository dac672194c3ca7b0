package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	tidegate "github.com/tidegate/tidegate/sdk/go"
	"github.com/tidegate/tidegate/sdk/go/internal/hook"
	"github.com/tidegate/tidegate/sdk/go/internal/platform"
	"github.com/tidegate/tidegate/sdk/go/internal/vectors"
)

type object = map[string]any

// message is one operation with every field that some operation has.
type message struct {
	ID         json.Number     `json:"id"`
	Op         string          `json:"op"`
	Clock      string          `json:"clock"`
	MonoMS     int64           `json:"mono_ms"`
	WallMS     int64           `json:"wall_ms"`
	Client     string          `json:"client"`
	Seed       string          `json:"seed"`
	Store      string          `json:"store"`
	Options    object          `json:"options"`
	BeforeSend string          `json:"before_send"`
	OnDrop     string          `json:"on_drop"`
	Type       string          `json:"type"`
	Props      object          `json:"props"`
	Class      *int            `json:"class"`
	Count      *int            `json:"count"`
	Marker     *int64          `json:"marker"`
	What       string          `json:"what"`
	MS         int64           `json:"ms"`
	ToMS       *int64          `json:"to_ms"`
	ByMS       int64           `json:"by_ms"`
	TimeoutMS  int64           `json:"timeout_ms"`
	Call       int             `json:"call"`
	Point      string          `json:"point"`
	Nth        int             `json:"nth"`
	Mode       string          `json:"mode"`
	Function   string          `json:"function"`
	In         json.RawMessage `json:"in"`
}

type unsupported string

func (u unsupported) Error() string { return string(u) }

// client is an SDK's client with what the adapter records of it.
type client struct {
	sdk     *tidegate.Client
	virtual *virtual
	mu      sync.Mutex
	drops   map[string]int64
}

type call struct {
	mu     sync.Mutex
	begun  int64
	ended  int64
	done   bool
	result bool
}

type adapter struct {
	world    *world
	started  time.Time
	clients  map[string]*client
	calls    []*call
	warnings warnings
}

// warnings counts what the SDK logs.
type warnings struct {
	mu    sync.Mutex
	count int
}

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		w.mu.Lock()
		w.count++
		w.mu.Unlock()
		fmt.Fprintln(os.Stderr, r.Message)
	}
	return nil
}
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *warnings) WithGroup(string) slog.Handler      { return w }

func main() {
	a := &adapter{world: newWorld(), started: time.Now(), clients: map[string]*client{}}
	input := bufio.NewReaderSize(os.Stdin, 1<<16)
	output := bufio.NewWriter(os.Stdout)
	for {
		line, err := input.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			output.Write(a.answer(line))
			output.WriteByte('\n')
			output.Flush()
		}
		if err != nil {
			return
		}
	}
}

func (a *adapter) answer(line []byte) []byte {
	var m message
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	out := object{"ok": false}
	if err := decoder.Decode(&m); err != nil {
		out["error"] = err.Error()
	} else {
		out["id"] = m.ID
		v, err := a.run(&m)
		switch err := err.(type) {
		case nil:
			a.pulse(v)
			out["ok"], out["v"] = true, v
		case unsupported:
			out["unsupported"] = err.Error()
		case threw:
			out["threw"] = err.Error()
		default:
			out["error"] = err.Error()
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		text, _ = json.Marshal(object{"id": m.ID, "ok": false, "error": err.Error()})
	}
	return text
}

type threw string

func (t threw) Error() string { return string(t) }

func (a *adapter) pulse(v object) {
	v["http"], v["begun"], v["timer_ms"] = a.world.open.Load(), a.world.begun.Load(), nil
	if ms, ok := a.world.next(); ok {
		v["timer_ms"] = ms
	}
}

func (a *adapter) run(m *message) (v object, err error) {
	defer func() {
		if what := recover(); what != nil {
			v, err = nil, threw(fmt.Sprint(what))
		}
	}()
	if m.Client == "" {
		m.Client = "a"
	}
	operation, known := operations[m.Op]
	if !known {
		return nil, unsupported("Go has no " + m.Op)
	}
	v, err = operation(a, m)
	if !a.world.real {
		a.world.idle()
	}
	if v == nil {
		v = object{}
	}
	return v, err
}

var operations map[string]func(*adapter, *message) (object, error)

func init() {
	operations = map[string]func(*adapter, *message) (object, error){
		"hello": (*adapter).hello, "init": (*adapter).init, "track": (*adapter).track, "odd": (*adapter).odd,
		"advance": func(a *adapter, m *message) (object, error) {
			a.world.idle()
			return object{"moved_ms": a.world.advance(m.MS)}, nil
		},
		"settle": func(*adapter, *message) (object, error) { return nil, nil },
		"wall": func(a *adapter, m *message) (object, error) {
			a.world.wall += m.ByMS
			if m.ToMS != nil {
				a.world.wall = *m.ToMS
			}
			return nil, nil
		},
		"suspend": func(a *adapter, m *message) (object, error) {
			a.world.mono += m.MonoMS
			a.world.wall += m.WallMS
			return nil, nil
		},
		"flush": func(a *adapter, m *message) (object, error) { return a.begin(m, hook.BeginFlush) },
		"close": func(a *adapter, m *message) (object, error) { return a.begin(m, hook.BeginClose) },
		"call":  (*adapter).call,
		"opt_out": func(a *adapter, m *message) (object, error) {
			return nil, a.with(m, func(c *client) { hook.OptOut(c.sdk) })
		},
		"opt_in": func(a *adapter, m *message) (object, error) {
			return nil, a.with(m, func(c *client) { hook.OptIn(c.sdk) })
		},
		"stats": (*adapter).stats, "drops": (*adapter).drops,
		"crash_at": func(a *adapter, m *message) (object, error) {
			a.world.crashPoint, a.world.crashIn = m.Point, m.Nth
			if m.Nth == 0 {
				a.world.crashIn = 1
			}
			return nil, nil
		},
		"disk": func(a *adapter, m *message) (object, error) {
			return nil, a.with(m, func(c *client) { c.virtual.disk = diskModes[m.Mode] })
		},
		"logs": func(a *adapter, m *message) (object, error) {
			a.warnings.mu.Lock()
			defer a.warnings.mu.Unlock()
			return object{"warnings": a.warnings.count}, nil
		},
		"vec": func(a *adapter, m *message) (object, error) {
			out, err := vectors.Eval(m.Function, m.In)
			if u, ok := err.(vectors.Unsupported); ok {
				return nil, unsupported(u)
			}
			if fields, ok := out.(map[string]any); ok && m.Function == "event_line" {
				return object{"out": fields}, err
			}
			return object{"out": out}, err
		},
	}
}

func (a *adapter) hello(m *message) (object, error) {
	a.world.real = m.Clock == "real"
	a.world.mono, a.world.wall = m.MonoMS, m.WallMS
	return object{
		"sdk": "go/" + tidegate.Version, "contract": 1, "profile": "server",
		"caps": []string{"virtual", "store", "crash", "kill", "share", "disk", "secret_key", "gzip", "etag", "headers"},
		"missing": map[string]string{
			"fork":      "a Go process cannot fork",
			"exit":      "Go has no exit hook",
			"net":       "Go is not told of being online or offline",
			"page":      "Go runs in no page",
			"beacon":    "Go runs in no page",
			"bfcache":   "Go runs in no page",
			"undefined": "Go has no absent values",
			"dynamic":   "arguments of Go have types",
		},
	}, nil
}

func (a *adapter) now() int64 {
	if a.world.real {
		return time.Since(a.started).Milliseconds()
	}
	return a.world.mono
}

func (a *adapter) with(m *message, f func(*client)) error {
	c, ok := a.clients[m.Client]
	if !ok {
		return fmt.Errorf("there is no client %q", m.Client)
	}
	f(c)
	return nil
}

func (a *adapter) init(m *message) (object, error) {
	if m.BeforeSend == "garbage" {
		return nil, unsupported("BeforeSend returns an *Event")
	}
	seed, err := strconv.ParseUint(m.Seed, 10, 64)
	if err != nil {
		return nil, err
	}
	c := &client{drops: map[string]int64{}}
	options := optionsOf(m.Options)
	options.StoreDir = m.Store
	options.Logger = slog.New(&a.warnings)
	options.BeforeSend = c.beforeSend(m.BeforeSend)
	options.OnDrop = c.onDrop(m.OnDrop)
	var p platform.Platform
	if a.world.real {
		p = &counted{Real: platform.NewReal(), world: a.world}
	} else {
		c.virtual = newVirtual(a.world, seed)
		p = c.virtual
	}
	made, err := hook.New(options, p)
	if err != nil {
		return object{"refused": err.Error()}, nil
	}
	c.sdk = made.(*tidegate.Client)
	a.clients[m.Client] = c
	return object{"refused": nil}, nil
}

func (a *adapter) begin(m *message, begin func(any, int64, func(bool))) (object, error) {
	one := &call{begun: a.now()}
	number := len(a.calls)
	a.calls = append(a.calls, one)
	err := a.with(m, func(c *client) {
		begin(c.sdk, m.TimeoutMS, func(result bool) {
			one.mu.Lock()
			defer one.mu.Unlock()
			one.done, one.result, one.ended = true, result, a.now()
		})
	})
	return object{"call": number}, err
}

func (a *adapter) call(m *message) (object, error) {
	if m.Call < 0 || m.Call >= len(a.calls) {
		return nil, fmt.Errorf("there is no call %d", m.Call)
	}
	one := a.calls[m.Call]
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.done {
		return object{"done": false, "result": nil, "took_ms": a.now() - one.begun}, nil
	}
	return object{"done": true, "result": one.result, "took_ms": one.ended - one.begun}, nil
}

func (a *adapter) stats(m *message) (v object, err error) {
	err = a.with(m, func(c *client) { v = object{"stats": c.sdk.Stats()} })
	return v, err
}

func (a *adapter) drops(m *message) (v object, err error) {
	err = a.with(m, func(c *client) {
		c.mu.Lock()
		defer c.mu.Unlock()
		keys := make([]string, 0, len(c.drops))
		for key := range c.drops {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		rows := [][]any{}
		for _, key := range keys {
			rows = append(rows, []any{key[1:], int(key[0] - '0'), c.drops[key]})
		}
		sort.SliceStable(rows, func(i, j int) bool { return rows[i][0].(string) < rows[j][0].(string) })
		v = object{"drops": rows}
	})
	return v, err
}
