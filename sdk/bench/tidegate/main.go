// Command tidegate measures this repository's client: <endpoint> <measure> <count> [gzip|plain|store].
package main

import (
	"context"
	"math"
	"os"
	"time"

	"github.com/tidegate/tidegate/sdk/bench/measure"
	tidegate "github.com/tidegate/tidegate/sdk/go"
)

type contestant struct{ client *tidegate.Client }

func (c contestant) Track(i int) { c.client.Track("bench.event", measure.Props(i)) }

func (c contestant) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if !c.client.Close(ctx) {
		panic("not everything arrived")
	}
}

func main() {
	measure.Run(func(endpoint string) measure.Contestant {
		options := tidegate.Options{
			Key: "wk_bench", Endpoint: endpoint, QueueBytesMax: 64 << 20,
			BatchEventsMax: measure.BatchEvents, BatchMS: int(measure.BatchWait.Milliseconds()),
		}
		switch os.Args[4] {
		case "plain":
			options.GzipBytesMin = math.MaxInt32
		case "store":
			dir, err := os.MkdirTemp("", "bench-")
			if err != nil {
				panic(err)
			}
			options.StoreDir = dir
		}
		client, err := tidegate.New(options)
		if err != nil {
			panic(err)
		}
		return contestant{client}
	})
}
