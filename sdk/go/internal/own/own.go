// Package own marks what the SDK logs itself, so that a log handler never tracks it (R33).
package own

import "context"

type key struct{}

// Mark says that a record is the SDK's own.
func Mark(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is says whether a record is the SDK's own.
func Is(ctx context.Context) bool { return ctx != nil && ctx.Value(key{}) != nil }
