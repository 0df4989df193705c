import type { PoolCode } from "../../domain/ids.ts";
import {
  describeWithActivemq,
  describeWithRabbit,
  testActivemqUrl,
  testRabbitUrl,
} from "../../ports/needs-services.fixture.ts";
import { describeQueueConformance } from "../../ports/queue.conformance.ts";
import { amqpBench } from "./amqp-bench.fixture.ts";
import { amqpCapabilities } from "./index.ts";

const lanes = ["OTHER"] as PoolCode[];
const slow = { caseTimeoutMs: 60_000 };

describeWithActivemq("the queue on ActiveMQ", () => {
  describeQueueConformance({ name: "activemq", capabilities: amqpCapabilities({ lanes }), ...slow }, () =>
    amqpBench(testActivemqUrl ?? "", "activemq", "?lanes=OTHER"),
  );
});

describeWithRabbit("the queue on RabbitMQ", () => {
  describeQueueConformance({ name: "rabbitmq", capabilities: amqpCapabilities({ lanes }), ...slow }, () =>
    amqpBench(testRabbitUrl ?? "", "rabbitmq", "?lanes=OTHER"),
  );
});
