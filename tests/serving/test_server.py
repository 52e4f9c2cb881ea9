import socket

from rewardranker.serving.server import _listen


def test_the_body_of_an_answer_does_not_wait_until_its_header_is_acknowledged() -> None:
    with _listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
