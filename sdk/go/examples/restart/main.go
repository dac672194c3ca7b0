// Command restart shows that events survive a process that could not send them: the first client has
// nobody to talk to, the second finds its events in the store.
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
	dir, err := os.MkdirTemp("", "tidegate-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	options := tidegate.Options{
		Key: os.Getenv("TIDEGATE_KEY"), Endpoint: "http://127.0.0.1:9", StoreDir: dir,
	}
	first, err := tidegate.New(options)
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < 10; i++ {
		first.Track("order", map[string]any{"number": i})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	fmt.Println("offline, everything sent:", first.Close(ctx), "- kept:", first.Stats().Held)

	options.Endpoint = os.Getenv("TIDEGATE_ENDPOINT")
	second, err := tidegate.New(options)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("online, everything sent:", second.Close(context.Background()))
	if second.Stats().Held != 0 {
		os.Exit(1)
	}
}
