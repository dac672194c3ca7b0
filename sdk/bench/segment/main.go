// Command segment measures github.com/segmentio/analytics-go: <endpoint> <measure> <count>.
package main

import (
	"io"
	"log"

	"github.com/segmentio/analytics-go/v3"

	"github.com/tidegate/tidegate/sdk/bench/measure"
)

type contestant struct{ client analytics.Client }

func (c contestant) Track(i int) {
	err := c.client.Enqueue(analytics.Track{
		UserId: "u-1234567", Event: "bench.event", Properties: measure.Props(i),
	})
	if err != nil {
		panic(err)
	}
}

func (c contestant) Close() { c.client.Close() }

func main() {
	measure.Run(func(endpoint string) measure.Contestant {
		client, err := analytics.NewWithConfig("bench", analytics.Config{
			Endpoint: endpoint, BatchSize: measure.BatchEvents, Interval: measure.BatchWait,
			Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
		})
		if err != nil {
			panic(err)
		}
		return contestant{client}
	})
}
