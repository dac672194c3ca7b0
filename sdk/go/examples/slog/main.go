// Command slog sends log records and shows them on the terminal as well.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	tidegate "github.com/tidegate/tidegate/sdk/go"
	"github.com/tidegate/tidegate/sdk/go/tidegateslog"
)

func main() {
	client, err := tidegate.New(tidegate.Options{
		Key: os.Getenv("TIDEGATE_KEY"), Endpoint: os.Getenv("TIDEGATE_ENDPOINT"),
	})
	if err != nil {
		log.Fatal(err)
	}
	terminal := slog.NewTextHandler(os.Stderr, nil)
	logger := slog.New(tidegateslog.New(client, tidegateslog.Options{Next: terminal}))

	logger.Info("started", "port", 8080)
	logger.With("request", "r-1").WithGroup("user").Error("failed", "id", 7, "error", errors.New("no money"))

	ended := client.Close(context.Background())
	stats := client.Stats()
	fmt.Printf("closed: %v, acknowledged %d\n", ended, stats.Acked)
	if stats.Acked != 2 {
		os.Exit(1)
	}
}
