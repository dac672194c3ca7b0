// Package tidegate sends events to a Tidegate gateway: merged into batches, compressed, retried with
// patience, and counted, so that it can be said afterwards what became of every one of them.
//
//	client, err := tidegate.New(tidegate.Options{Key: "wk_...", Endpoint: "https://in.example.org"})
//	if err != nil {
//		return err // the key or the endpoint is malformed; nothing else is refused
//	}
//	defer client.Close(ctx)
//	client.Track("page.view", map[string]any{"path": "/"})
//
// Track never blocks on the network, on the disk or on a full queue, and nothing here panics.
// The numbered rules in comments are those of sdk/contract.
package tidegate

// Version is the version of this SDK.
const Version = "0.1.0"

const sdkName = "go/" + Version
