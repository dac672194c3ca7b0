// Command basic sends a few events and says what became of them.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	tidegate "github.com/tidegate/tidegate/sdk/go"
)

func main() {
	client, err := tidegate.New(tidegate.Options{
		Key:      os.Getenv("TIDEGATE_KEY"),
		Endpoint: os.Getenv("TIDEGATE_ENDPOINT"),
		Context:  map[string]any{"service": "basic"},
		OnDrop: func(reason string, class tidegate.Class, count int) {
			log.Printf("dropped %d events of class %d: %s", count, class, reason)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	client.Track("page.view", map[string]any{"path": "/", "at": time.Now()})
	client.Track("error", struct {
		Code int    `json:"code"`
		Text string `json:"text"`
	}{500, "it broke"}, tidegate.WithClass(tidegate.Critical))
	client.Track("scroll", map[string]any{"depth": 0.7}, tidegate.WithClass(tidegate.Bulk))

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ended := client.Close(ctx)
	stats := client.Stats()
	fmt.Printf("closed: %v, tracked %d, acknowledged %d\n", ended, stats.Tracked, stats.Acked)
	if !ended || stats.Acked != 3 {
		os.Exit(1)
	}
}
