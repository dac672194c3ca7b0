// Package tidegateslog sends log records as events. The SDK's own warnings are never sent.
package tidegateslog

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	tidegate "github.com/tidegate/tidegate/sdk/go"
	"github.com/tidegate/tidegate/sdk/go/internal/own"
)

// Options of a Handler. The zero value sends records from Info on, as events of the type "log".
type Options struct {
	// Type of the events ("log").
	Type string
	// Level is the least that is sent (slog.LevelInfo).
	Level slog.Leveler
	// Next gets every record as well, if it is there: the handler that writes to the terminal.
	Next slog.Handler
	// Source adds file and line.
	Source bool
}

// Handler is a slog.Handler. Errors are critical events, warnings and information normal ones,
// everything below is bulk.
type Handler struct {
	client  *tidegate.Client
	options Options
	groups  []string
	attrs   []grouped
}

// grouped is an attribute with the groups that were open when it was added.
type grouped struct {
	groups []string
	attr   slog.Attr
}

// New makes a handler that sends through a client. Closing the client stays the caller's.
func New(client *tidegate.Client, options Options) *Handler {
	if options.Type == "" {
		options.Type = "log"
	}
	if options.Level == nil {
		options.Level = slog.LevelInfo
	}
	return &Handler{client: client, options: options}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.options.Level.Level() || h.options.Next != nil && h.options.Next.Enabled(ctx, level)
}

// Handle implements slog.Handler. It never blocks on the network.
func (h *Handler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= h.options.Level.Level() && !own.Is(ctx) {
		h.client.Track(h.options.Type, h.props(record), tidegate.WithClass(classOf(record.Level)))
	}
	if h.options.Next != nil && h.options.Next.Enabled(ctx, record.Level) {
		return h.options.Next.Handle(ctx, record)
	}
	return nil
}

func classOf(level slog.Level) tidegate.Class {
	switch {
	case level >= slog.LevelError:
		return tidegate.Critical
	case level >= slog.LevelInfo:
		return tidegate.Normal
	}
	return tidegate.Bulk
}

func (h *Handler) props(record slog.Record) map[string]any {
	props := map[string]any{"level": record.Level.String(), "message": record.Message}
	if !record.Time.IsZero() {
		props["time"] = record.Time
	}
	if h.options.Source && record.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{record.PC}).Next()
		props["source"] = map[string]any{"file": frame.File, "line": frame.Line, "function": frame.Function}
	}
	attrs := map[string]any{}
	for _, one := range h.attrs {
		add(attrs, one.groups, one.attr)
	}
	record.Attrs(func(attr slog.Attr) bool {
		add(attrs, h.groups, attr)
		return true
	})
	if len(attrs) > 0 {
		props["attrs"] = attrs
	}
	return props
}

// add puts an attribute below its groups.
func add(into map[string]any, groups []string, attr slog.Attr) {
	value := attr.Value.Resolve()
	if attr.Key == "" && value.Kind() != slog.KindGroup {
		return
	}
	for _, group := range groups {
		inner, ok := into[group].(map[string]any)
		if !ok {
			inner = map[string]any{}
			into[group] = inner
		}
		into = inner
	}
	if value.Kind() != slog.KindGroup {
		into[attr.Key] = plain(value)
		return
	}
	below := groupOf(attr.Key)
	for _, inner := range value.Group() {
		add(into, below, inner)
	}
}

// groupOf: a group without a name is inlined.
func groupOf(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

func plain(value slog.Value) any {
	switch v := value.Any().(type) {
	case time.Duration:
		return v.String()
	case error:
		return v.Error()
	default:
		return v
	}
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.attrs = append([]grouped(nil), h.attrs...)
	for _, attr := range attrs {
		out.attrs = append(out.attrs, grouped{h.groups, attr})
	}
	if h.options.Next != nil {
		out.options.Next = h.options.Next.WithAttrs(attrs)
	}
	return &out
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	out := *h
	out.groups = append(append([]string(nil), h.groups...), name)
	if h.options.Next != nil {
		out.options.Next = h.options.Next.WithGroup(name)
	}
	return &out
}

var _ slog.Handler = (*Handler)(nil)
