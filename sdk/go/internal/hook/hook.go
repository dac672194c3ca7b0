// Package hook lets tests and the adapter give a client another platform and begin its calls without
// waiting for them. Package tidegate fills it in; nothing of it is public.
package hook

import "github.com/tidegate/tidegate/sdk/go/internal/platform"

// Calls are what the adapter does to a client. Clients and options are passed as any, because the
// package that they live in imports this one.
var (
	New        func(options any, p platform.Platform) (client any, err error)
	BeginFlush func(client any, ms int64, done func(bool))
	BeginClose func(client any, ms int64, done func(bool))
	OptOut     func(client any)
	OptIn      func(client any)
)
