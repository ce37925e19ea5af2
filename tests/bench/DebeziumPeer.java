import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.FileReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * Debezium's embedded engine, publishing to RabbitMQ as its server's own sink does: each event
 * persistent, one wait for the broker's confirms per batch, then the batch is marked as done.
 *
 * Usage: java DebeziumPeer.java PROPERTIES BROKER_URL EXCHANGE
 * The routing key of an event is the name of its table's topic.
 * Prints a line "COUNT NANOSECONDS" after each confirmed batch; ends at end of its input.
 */
public class DebeziumPeer {
    private static final long CONFIRM_TIMEOUT_MS = 60_000;

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (FileReader reader = new FileReader(arguments[0])) {
            properties.load(reader);
        }
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(arguments[1]);
        String exchange = arguments[2];
        Connection connection = factory.newConnection();
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        AMQP.BasicProperties message = new AMQP.BasicProperties.Builder()
                .contentType("application/json").deliveryMode(2).build();
        long[] published = {0};
        DebeziumEngine.ChangeConsumer<ChangeEvent<String, String>> consumer = (records, committer) -> {
            try {
                for (ChangeEvent<String, String> record : records) {
                    if (record.value() != null) {
                        channel.basicPublish(exchange, record.destination(), true, message,
                                record.value().getBytes(StandardCharsets.UTF_8));
                        published[0]++;
                    }
                }
                channel.waitForConfirmsOrDie(CONFIRM_TIMEOUT_MS);
            } catch (Exception problem) {
                throw new RuntimeException(problem);
            }
            for (ChangeEvent<String, String> record : records) {
                committer.markProcessed(record);
            }
            committer.markBatchFinished();
            System.out.println(published[0] + " " + System.nanoTime());
            System.out.flush();
        };
        DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
                .using(properties)
                .using((success, text, error) -> {
                    if (!success) {
                        System.err.println("engine ended: " + text + " " + error);
                        System.exit(1);
                    }
                })
                .notifying(consumer)
                .build();
        ExecutorService executor = Executors.newSingleThreadExecutor();
        executor.execute(engine);
        while (System.in.read() >= 0) { }
        engine.close();
        executor.shutdown();
        executor.awaitTermination(30, TimeUnit.SECONDS);
        connection.close();
        System.exit(0);
    }
}
