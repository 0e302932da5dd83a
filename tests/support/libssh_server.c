/* The least SSH server with libssh that runs commands: PORT HOST_KEY AUTHORIZED_KEYS.

   A process for each connection, which serves one session after the other or side by side, and
   wants new keys after each megabyte. */

#include <fcntl.h>
#include <libssh/callbacks.h>
#include <libssh/server.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct process {
    ssh_channel channel;
    pid_t pid;
    int in, out, err; /* our ends; -1 when closed */
    struct ssh_channel_callbacks_struct callbacks;
    struct process *next;
};

static ssh_key authorized;
static ssh_session session;
static struct process *processes;
static int logged_in;

static int login(ssh_session s, const char *user, struct ssh_key_struct *key, char state, void *data) {
    if (ssh_key_cmp(key, authorized, SSH_KEY_CMP_PUBLIC) != 0) return SSH_AUTH_DENIED;
    if (state == SSH_PUBLICKEY_STATE_VALID) logged_in = 1;
    return state == SSH_PUBLICKEY_STATE_NONE || logged_in ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}

/* Returns how much was taken; libssh keeps the rest and grants no more window. */
static int input(ssh_session s, ssh_channel c, void *data, uint32_t length, int is_stderr, void *own) {
    struct process *p = own;
    ssize_t written = p->in < 0 ? (ssize_t)length : write(p->in, data, length);
    return written < 0 ? 0 : (int)written;
}

static void end_of_input(ssh_session s, ssh_channel c, void *own) {
    struct process *p = own;
    if (p->in >= 0) close(p->in);
    p->in = -1;
}

static int run(ssh_session s, ssh_channel c, const char *command, void *own) {
    struct process *p = own;
    int in[2], out[2], err[2];
    if (p->pid || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) return SSH_ERROR;
    if ((p->pid = fork()) == 0) {
        dup2(in[0], 0), dup2(out[1], 1), dup2(err[1], 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(in[0]), close(out[1]), close(err[1]);
    p->in = in[1], p->out = out[0], p->err = err[0];
    return SSH_OK;
}

static ssh_channel opened(ssh_session s, void *data) {
    struct process *p = calloc(1, sizeof *p);
    p->in = p->out = p->err = -1;
    p->callbacks.userdata = p;
    p->callbacks.channel_data_function = input;
    p->callbacks.channel_eof_function = end_of_input;
    p->callbacks.channel_exec_request_function = run;
    ssh_callbacks_init(&p->callbacks);
    p->channel = ssh_channel_new(s);
    ssh_set_channel_callbacks(p->channel, &p->callbacks);
    p->next = processes;
    processes = p;
    return p->channel;
}

static void output(struct process *p, int *from, int is_stderr) {
    char data[16384];
    struct pollfd ready = {*from, POLLIN, 0};
    uint32_t room = ssh_channel_window_size(p->channel);
    if (*from < 0 || !room || poll(&ready, 1, 0) < 1) return;
    ssize_t size = read(*from, data, room < sizeof data ? room : sizeof data);
    if (size <= 0) close(*from), *from = -1;
    else if (is_stderr) ssh_channel_write_stderr(p->channel, data, (uint32_t)size);
    else ssh_channel_write(p->channel, data, (uint32_t)size);
}

static void end(struct process *p) {
    int status;
    if (!p->pid || p->out >= 0 || p->err >= 0 || waitpid(p->pid, &status, WNOHANG) < 1) return;
    p->pid = 0;
    ssh_channel_send_eof(p->channel);
    if (WIFSIGNALED(status))
        ssh_channel_request_send_exit_signal(p->channel, sigabbrev_np(WTERMSIG(status)), 0, "", "");
    else
        ssh_channel_request_send_exit_status(p->channel, WEXITSTATUS(status));
    ssh_channel_close(p->channel);
}

static void serve(void) {
    struct ssh_server_callbacks_struct callbacks = {
        .auth_pubkey_function = login,
        .channel_open_request_session_function = opened,
    };
    ssh_event event = ssh_event_new();
    uint64_t most = 1 << 20;
    ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &most);
    ssh_callbacks_init(&callbacks);
    ssh_set_server_callbacks(session, &callbacks);
    ssh_set_auth_methods(session, SSH_AUTH_METHOD_PUBLICKEY);
    if (ssh_handle_key_exchange(session) != SSH_OK) return;
    ssh_event_add_session(event, session);
    while (ssh_event_dopoll(event, 2) != SSH_ERROR && ssh_is_connected(session))
        for (struct process *p = processes; p; p = p->next) {
            output(p, &p->out, 0);
            output(p, &p->err, 1);
            end(p);
        }
}

int main(int argc, char **argv) {
    ssh_bind bound = ssh_bind_new();
    if (argc != 4 || ssh_pki_import_pubkey_file(argv[3], &authorized) != SSH_OK) return 2;
    signal(SIGPIPE, SIG_IGN);
    ssh_bind_options_set(bound, SSH_BIND_OPTIONS_BINDADDR, "127.0.0.1");
    ssh_bind_options_set(bound, SSH_BIND_OPTIONS_BINDPORT_STR, argv[1]);
    ssh_bind_options_set(bound, SSH_BIND_OPTIONS_HOSTKEY, argv[2]);
    if (ssh_bind_listen(bound) != SSH_OK) return 2;
    for (;;) {
        session = ssh_new();
        if (ssh_bind_accept(bound, session) == SSH_OK && fork() == 0) {
            serve();
            _exit(0);
        }
        ssh_free(session);
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
    }
}
